"""An emulated PC: what a stick is tried in, by people (``soulpad try``), by tests and by benchmarks."""
