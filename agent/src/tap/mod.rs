//! `meshtap tap` and `meshtap replay`: exchanges for a person or a script to read.
