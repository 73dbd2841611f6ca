//! What text is, and how that looks.

use ratatui::style::{Color, Modifier, Style};

/// What a text is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Ink {
    /// Captured text.
    #[default]
    Plain,
    /// The name of a field.
    Name,
    /// What begins a part.
    Title,
    /// Less important.
    Dim,
    /// A remark of the tool's own.
    Note,
    /// A client's error.
    Warning,
    /// A failure.
    Failure,
    /// The line of titles.
    Bar,
}

/// Inks → styles.
#[derive(Clone, Copy, Debug)]
pub(super) struct Inks {
    pub(super) colour: bool,
}

impl Inks {
    pub(super) fn style(self, ink: Ink) -> Style {
        let style = Style::new();
        let (colour, modifier) = match ink {
            Ink::Plain => (None, Modifier::empty()),
            Ink::Name => (Some(Color::Cyan), Modifier::empty()),
            Ink::Title => (None, Modifier::BOLD),
            Ink::Dim => (None, Modifier::DIM),
            Ink::Note => (Some(Color::Magenta), Modifier::empty()),
            Ink::Warning => (Some(Color::Yellow), Modifier::empty()),
            Ink::Failure => (Some(Color::Red), Modifier::empty()),
            Ink::Bar => (None, Modifier::REVERSED),
        };
        let style = style.add_modifier(modifier);
        match colour.filter(|_| self.colour) {
            Some(colour) => style.fg(colour),
            None => style,
        }
    }

    /// The line that is selected.
    pub(super) const fn selected(style: Style) -> Style {
        style.add_modifier(Modifier::REVERSED)
    }
}
