//! What to play: the scenario file, its checks and the library of ready scenarios.
