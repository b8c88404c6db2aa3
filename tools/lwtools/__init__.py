"""Set-up and test running for a checkout of Latchwork. The standard library is all that
it needs, since it runs before any virtual environment exists."""
