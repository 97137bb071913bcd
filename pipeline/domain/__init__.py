"""Pure thinking: values and rules. No clock, no random, no I/O, no logging."""
