//! The interactive screen and `top`: the real binary in a real terminal (tmux), under live traffic.

mod refused;
mod screen;
mod top;
