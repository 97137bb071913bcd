"""One file or package per outside thing; each translates foreign errors into ours."""
