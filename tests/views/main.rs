//! The interactive screen and `top`: the real binary in a real terminal (tmux), under live traffic.

mod load;
mod refused;
mod screen;
mod top;
