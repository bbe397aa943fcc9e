"""Where the core meets the world: each module translates, none decides."""
