"""The bench of the multiply engines: a top whose memories answer one cycle later, and every cycle against the rule."""
