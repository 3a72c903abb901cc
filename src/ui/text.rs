//! Text as a terminal gets it: shown, and not obeyed.
//!
//! Paths, keys, error messages, names, and what tools say come from outside, and may hold anything: sequences that clear the screen,
//! fill the clipboard, or go back to the beginning of the line and write something else there; marks that turn the direction of what
//! follows. Such characters are shown as `\r`, `\n`, `\t`, or by their number, as in `\u{1b}`.

use owo_colors::{OwoColorize, Style};

/// The beginning of all lines that go on with a text. No line of ours begins like it.
const INDENTATION: &str = "         ";

/// Ends all colours.
const RESET: &str = "\x1b[0m";

/// What can be written to a terminal. It can only be made by the methods here, all of which make harmless what they are given; so no
/// message can forget it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Text {
    shown: String,
    colour: bool,
}

impl Text {
    /// An empty text. With `colour` it may have colours.
    pub(super) fn new(colour: bool) -> Self {
        Self { shown: String::new(), colour }
    }

    /// A word in a colour of ours.
    pub(super) fn word(mut self, word: &str, style: Style) -> Self {
        let mut visible = String::with_capacity(word.len());
        show(word, &mut visible, |_| false);
        if self.colour {
            self.shown += &visible.style(style).to_string();
        } else {
            self.shown += &visible;
        }
        self
    }

    /// A text that leads to an address, by the sequence that terminals know for it (OSC 8). Others do not show the address.
    pub(super) fn link(mut self, text: &str, address: &str) -> Self {
        // Nothing in it ends the sequence.
        let address: String = address.chars().filter(char::is_ascii_graphic).collect();
        self.shown += &format!("\x1b]8;;{address}\x1b\\");
        self = self.line(text);
        self.shown += "\x1b]8;;\x1b\\";
        self
    }

    /// Something that is one line, whatever it says: line breaks in it are shown as well.
    pub(super) fn line(mut self, text: &str) -> Self {
        show(text, &mut self.shown, |_| false);
        self
    }

    /// Something that may have several lines. All but the first are indented, so that none can be taken for a line of ours. Tabs stay,
    /// since code is indented with them.
    pub(super) fn block(mut self, text: &str) -> Self {
        for (index, line) in text.trim_end().lines().enumerate() {
            if index > 0 {
                self.shown.push('\n');
                // A line of blanks would only be in the way of whoever copies it.
                if !line.is_empty() {
                    self.shown += INDENTATION;
                }
            }
            show(line, &mut self.shown, |character| character == '\t');
        }
        self
    }

    /// As [`Text::block`], on lines of its own.
    pub(super) fn below(mut self, text: &str) -> Self {
        if text.trim().is_empty() {
            return self;
        }
        self.shown.push('\n');
        self.shown += INDENTATION;
        self.block(text)
    }

    /// Another text behind this one.
    pub(super) fn and(mut self, other: Self) -> Self {
        self.shown += &other.shown;
        self
    }

    /// The next line.
    pub(super) fn then(mut self) -> Self {
        self.shown.push('\n');
        self
    }

    /// A line that a function wrote. It may be coloured, up to its end and no further. Where there are no colours it has none either.
    pub(super) fn log(mut self, line: &str) -> Self {
        let mut rest = line;
        let mut coloured = false;
        while let Some((before, sequence, after)) = next_colour(rest) {
            show(before, &mut self.shown, |character| character == '\t');
            if self.colour {
                self.shown += sequence;
                coloured = !matches!(sequence, RESET | "\x1b[m");
            }
            rest = after;
        }
        show(rest, &mut self.shown, |character| character == '\t');
        if coloured {
            self.shown += RESET;
        }
        self
    }

    /// A text that stands for itself, with its lines and tabs.
    pub(super) fn result(mut self, text: &str) -> Self {
        show(text, &mut self.shown, |character| matches!(character, '\n' | '\t'));
        self
    }

    /// The same with no line longer than a terminal is wide. Lines end between words, and in none of `…`, so that an address or a command
    /// can be clicked on and copied. What is longer than a line by itself begins one.
    pub(super) fn wrapped(self, columns: usize) -> Self {
        let lines: Vec<String> = self.shown.split('\n').map(|line| wrap(line, columns)).collect();
        Self { shown: lines.join("\n"), ..self }
    }

    /// What is written.
    pub(super) fn as_str(&self) -> &str {
        &self.shown
    }
}

/// Adds `text` with everything that a terminal would obey made visible, unless it `stays`.
fn show(text: &str, to: &mut String, stays: impl Fn(char) -> bool) {
    // Almost every line, and fast to find out.
    if text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        to.push_str(text);
        return;
    }
    let mut rest = text;
    while let Some(at) = rest.find(|character| is_obeyed(character) && !stays(character)) {
        let (before, after) = rest.split_at(at);
        to.push_str(before);
        let mut characters = after.chars();
        // `escape_debug` would leave some of them as they are.
        match characters.next() {
            Some('\n') => to.push_str("\\n"),
            Some('\r') => to.push_str("\\r"),
            Some('\t') => to.push_str("\\t"),
            Some(other) => to.extend(other.escape_unicode()),
            None => {}
        }
        rest = characters.as_str();
    }
    to.push_str(rest);
}

/// Whether a character does something to a terminal, or to the text around it, besides being shown: C0 and C1 controls and DEL, the
/// separators of lines and paragraphs, and what changes the direction of writing
/// (<https://www.unicode.org/reports/tr9/#Directional_Formatting_Characters>), also in its deprecated forms.
pub(super) fn is_obeyed(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{206f}')
}

/// The first sequence that selects colours (SGR, ECMA-48 8.3.117), with what is before and after it. Only numbers may be in it: with
/// others the same letter ends sequences that set up the keyboard.
fn next_colour(text: &str) -> Option<(&str, &str, &str)> {
    for (start, begin) in text.match_indices("\x1b[") {
        let numbers = &text[start + begin.len()..];
        let end = numbers.find(|character: char| !matches!(character, '0'..='9' | ';' | ':'));
        if let Some(end) = end.filter(|end| numbers[*end..].starts_with('m')) {
            let after = start + begin.len() + end + 1;
            return Some((&text[..start], &text[start..after], &text[after..]));
        }
    }
    None
}

/// A line in as many as it takes. Those that go on are indented as the first one, and a little more.
fn wrap(line: &str, columns: usize) -> String {
    if console::measure_text_width(line) <= columns {
        return line.to_owned();
    }
    let depth = line.len() - line.trim_start().len();
    let indentation = " ".repeat(depth + 2);
    let (mut all, mut width) = (String::new(), 0);
    for word in words(line) {
        let length = console::measure_text_width(word.trim_end());
        if width > 0 && width + length > columns {
            let shown = all.trim_end().len();
            all.truncate(shown);
            all.push('\n');
            // What fits a line only without an indentation is not broken for its sake.
            width = if length + indentation.len() > columns { 0 } else { indentation.len() };
            all.push_str(&indentation[..width]);
        }
        all.push_str(word);
        width += console::measure_text_width(word);
    }
    all
}

/// The words of a line with the blanks behind them; the indentation belongs to the first one, and all of `…` is one.
fn words(line: &str) -> Vec<&str> {
    let (mut words, mut begin, mut quoted, mut blank) = (Vec::new(), 0, false, true);
    for (at, character) in line.char_indices() {
        if character != ' ' && blank && at > begin && !line[begin..at].trim().is_empty() {
            words.push(&line[begin..at]);
            begin = at;
        }
        quoted ^= character == '`';
        blank = character == ' ' && !quoted;
    }
    words.push(&line[begin..]);
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str) -> String {
        Text::new(true).line(text).shown
    }

    #[test]
    fn what_a_terminal_would_obey_is_shown() {
        let table = [
            ("plain, äöü, 漢字, 👩‍💻, שלום", "plain, äöü, 漢字, 👩‍💻, שלום"),
            ("\x1b[2J\x1b[H", "\\u{1b}[2J\\u{1b}[H"),
            ("\x1b]52;c;bHM=\x07", "\\u{1b}]52;c;bHM=\\u{7}"),
            ("\u{9d}0;title\u{9c}", "\\u{9d}0;title\\u{9c}"),
            ("\x1bP+q544e\x1b\\", "\\u{1b}P+q544e\\u{1b}\\"),
            ("\u{9b}31m", "\\u{9b}31m"),
            ("a\r\nb\tc\x08\x7f\0", "a\\r\\nb\\tc\\u{8}\\u{7f}\\u{0}"),
            (
                "\u{202e}cod.exe\u{2066}\u{2069}\u{200f}\u{61c}",
                "\\u{202e}cod.exe\\u{2066}\\u{2069}\\u{200f}\\u{61c}",
            ),
            ("one\u{2028}two\u{2029}three\u{85}four", "one\\u{2028}two\\u{2029}three\\u{85}four"),
        ];
        for (text, expected) in table {
            assert_eq!(line(text), expected, "{text:?}");
        }
    }

    #[test]
    fn a_link_holds_nothing_but_its_address() {
        let text = Text::new(false).link("a\x1b", "http://b/\x1b\\\x1b]52;c;bHM=\x07 \n#c");
        let expected = "\x1b]8;;http://b/\\]52;c;bHM=#c\x1b\\a\\u{1b}\x1b]8;;\x1b\\";
        assert_eq!(text.as_str(), expected);
    }

    #[test]
    fn no_line_of_a_block_can_be_taken_for_one_of_ours() {
        let text = Text::new(false).block("first\r\nRESPONSE 1\n\n\tcode\rRESPONSE 2\u{85}RESPONSE 3\n");
        let expected = "first\n         RESPONSE 1\n\n         \tcode\\rRESPONSE 2\\u{85}RESPONSE 3";
        assert_eq!(text.as_str(), expected);
        assert_eq!(
            Text::new(false).line("ERROR").below("RESPONSE\nb").shown,
            "ERROR\n         RESPONSE\n         b"
        );
    }

    #[test]
    fn colours_of_functions_end_with_their_line() {
        let table = [
            ("\x1b[1;38:5:1mred\x1b[0m", "\x1b[1;38:5:1mred\x1b[0m", "red"),
            ("\x1b[31mred", "\x1b[31mred\x1b[0m", "red"),
            (
                "\x1b[31mred\x1b[m \x1b[32mgreen\tx",
                "\x1b[31mred\x1b[m \x1b[32mgreen\tx\x1b[0m",
                "red green\tx",
            ),
            // Neither is a colour.
            ("\x1b[>4;2m\x1b[?4m", "\\u{1b}[>4;2m\\u{1b}[?4m", "\\u{1b}[>4;2m\\u{1b}[?4m"),
            ("\x1b[3\x1b[31m1A", "\\u{1b}[3\x1b[31m1A\x1b[0m", "\\u{1b}[31A"),
            ("\x1b[31", "\\u{1b}[31", "\\u{1b}[31"),
            ("100%\r\x1b[K done", "100%\\r\\u{1b}[K done", "100%\\r\\u{1b}[K done"),
            ("\u{9b}31mred", "\\u{9b}31mred", "\\u{9b}31mred"),
        ];
        for (written, coloured, plain) in table {
            assert_eq!(Text::new(true).log(written).shown, coloured, "{written:?}");
            assert_eq!(Text::new(false).log(written).shown, plain, "{written:?}");
        }
    }

    #[test]
    fn what_is_longer_than_a_line_goes_on_in_the_next_one_and_addresses_and_commands_stay_whole() {
        let address = "http://127.0.0.1:4566/restapis/a1b2c3/dev/_user_request_/";
        let table = [
            ("short", "short".to_owned()),
            ("one two three four five six", "one two three four five\n  six".to_owned()),
            ("  in  a b c d e f g h i j k l", "  in  a b c d e f g h i j\n    k l".to_owned()),
            ("run `sst deploy --stage a` now", "run\n  `sst deploy --stage a`\n  now".to_owned()),
            (&format!("  Url: {address} x"), format!("  Url:\n{address}\n    x")),
            ("\x1b[1mone\x1b[0m two three four five", "\x1b[1mone\x1b[0m two three four five".to_owned()),
            ("", String::new()),
        ];
        for (text, expected) in table {
            let text = Text { shown: text.to_owned(), colour: true };
            assert_eq!(text.wrapped(25).shown, expected);
        }
    }
}
