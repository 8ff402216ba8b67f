// Nothing: what the start of Node costs.
