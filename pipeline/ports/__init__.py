"""What the flow needs of the outside world, as protocols. Adapters fulfil them; one contract suite holds each to it."""
