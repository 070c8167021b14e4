"""Lists of people on their way to other systems: complete, once, and only whom they may reach."""
