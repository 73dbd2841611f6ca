//! What an operator installs and asks: the chart, the capabilities, `meshtap check` and
//! `meshtap explain`.

mod chart;
mod check;
mod explain;
mod guides;
mod privileges;
