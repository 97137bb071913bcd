"""The llama engine: quantised models in the worker's own process, through llama.cpp.

`engine` fulfils the port. `vocab` and `template` turn a Question into tokens, `choice` and `record` know what an answer
needs to be read, `lanes` and `context` read many items at once, `library` is the only door to llama.cpp.
"""
