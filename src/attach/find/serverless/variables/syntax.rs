//! How variables are written in `serverless.yml`: `${type(params):address, fallback, 'text'}`, one within another, and `\${…}` for what is
//! none. What has another form, such as CloudFormation's `${AWS::Region}`, is text.
//!
//! After the framework's documentation of variables, and what `osls print` makes of them (`tests/fixtures/attach/serverless`).

use std::str::FromStr as _;

use serde_json::{Number, Value};

/// A text with the variables in it.
pub(super) type Parts = Vec<Part>;

/// A part of a text.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Part {
    /// What stands there.
    Text(String),
    /// What is put in its place.
    Variable(Variable),
}

/// A variable: its value is that of the first source that has one.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Variable {
    /// As it is written.
    pub(super) written: String,
    /// Where its value may come from, in order.
    pub(super) sources: Vec<Source>,
}

/// Where a value may come from.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Source {
    /// It stands there.
    Literal(Value),
    /// It is looked up.
    Typed {
        /// Where, e.g. `self`.
        kind: String,
        /// What is in brackets, e.g. the path of a file.
        params: Vec<Parts>,
        /// What is after the colon.
        address: Option<Parts>,
    },
}

/// The parts of a text.
pub(super) fn parse(text: &str) -> Parts {
    Parser { text, at: 0 }.parts(&[])
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
}

impl Parser<'_> {
    /// What is there up to one of `ends`, or the end of the text.
    fn parts(&mut self, ends: &[char]) -> Parts {
        let (mut parts, mut text) = (Vec::new(), String::new());
        while let Some(next) = self.peek().filter(|next| !ends.contains(next)) {
            if self.escape(&mut text) {
                continue;
            }
            match self.variable() {
                Some(variable) => {
                    if !text.is_empty() {
                        parts.push(Part::Text(std::mem::take(&mut text)));
                    }
                    parts.push(Part::Variable(variable));
                }
                None => {
                    text.push(next);
                    self.at += next.len_utf8();
                }
            }
        }
        if !text.is_empty() {
            parts.push(Part::Text(text));
        }
        parts
    }

    /// Takes the backslashes before a `${`, of which two are one, and one keeps it from being a variable.
    fn escape(&mut self, text: &mut String) -> bool {
        let rest = self.rest();
        let unescaped = rest.trim_start_matches('\\');
        let count = rest.len() - unescaped.len();
        if count == 0 || !unescaped.starts_with("${") {
            return false;
        }
        text.push_str(&"\\".repeat(count / 2));
        self.at += count;
        if count % 2 == 1 {
            text.push_str("${");
            self.at += 2;
        }
        true
    }

    /// A whole variable, or nothing at all.
    fn variable(&mut self) -> Option<Variable> {
        let start = self.at;
        let variable = self.begun_variable();
        if variable.is_none() {
            self.at = start;
        }
        variable
    }

    fn begun_variable(&mut self) -> Option<Variable> {
        let start = self.at;
        self.take("${")?;
        let mut sources = vec![self.typed()?];
        loop {
            self.spaces();
            match self.next()? {
                '}' => break,
                ',' => sources.push(self.source()?),
                _ => return None,
            }
        }
        Some(Variable { written: self.text.get(start..self.at)?.to_owned(), sources })
    }

    fn source(&mut self) -> Option<Source> {
        self.spaces();
        if let Some(text) = self.quoted() {
            return Some(Source::Literal(Value::from(text)));
        }
        let start = self.at;
        if let Some(typed) = self.typed() {
            return Some(typed);
        }
        self.at = start;
        literal(self.word()).map(Source::Literal)
    }

    fn typed(&mut self) -> Option<Source> {
        let kind = self.word().to_owned();
        let is_type = kind.starts_with(|first: char| first.is_ascii_lowercase());
        if !is_type || !kind.chars().all(|one| one.is_ascii_alphanumeric()) {
            return None;
        }
        let has_params = self.take("(").is_some();
        let params = if has_params { self.params()? } else { Vec::new() };
        self.spaces();
        let has_address = self.take(":").is_some();
        if !has_params && !has_address || self.rest().starts_with(':') {
            return None;
        }
        let address = has_address.then(|| self.one_of(&[',', '}'])).filter(|parts| !parts.is_empty());
        Some(Source::Typed { kind, params, address })
    }

    fn params(&mut self) -> Option<Vec<Parts>> {
        let mut params = Vec::new();
        loop {
            params.push(self.one_of(&[',', ')']));
            self.spaces();
            match self.next()? {
                ')' => return Some(params),
                ',' => {}
                _ => return None,
            }
        }
    }

    /// A text in quotation marks, or one up to what ends it.
    fn one_of(&mut self, ends: &[char]) -> Parts {
        self.spaces();
        if let Some(text) = self.quoted() {
            return vec![Part::Text(text)];
        }
        let mut parts = self.parts(ends);
        if let Some(Part::Text(last)) = parts.last_mut() {
            last.truncate(last.trim_end().len());
        }
        parts.retain(|part| !matches!(part, Part::Text(text) if text.is_empty()));
        parts
    }

    fn quoted(&mut self) -> Option<String> {
        let quote = self.peek().filter(|next| matches!(next, '\'' | '"'))?;
        let inner = &self.rest()[1..];
        let mut is_escaped = false;
        let end = inner.find(|one: char| {
            let is_end = one == quote && !is_escaped;
            is_escaped = quote == '"' && one == '\\' && !is_escaped;
            is_end
        })?;
        let text = match quote {
            '"' => serde_json::from_str(&self.rest()[..end + 2]).ok()?,
            _ => inner[..end].to_owned(),
        };
        self.at += end + 2;
        Some(text)
    }

    fn word(&mut self) -> &str {
        let rest = self.rest();
        let is_part = |one: char| one.is_ascii_alphanumeric() || matches!(one, '.' | '-');
        let length = rest.find(|one| !is_part(one)).unwrap_or(rest.len());
        self.at += length;
        &self.text[self.at - length..self.at]
    }

    fn spaces(&mut self) {
        self.at += self.rest().len() - self.rest().trim_start_matches(' ').len();
    }

    fn take(&mut self, wanted: &str) -> Option<()> {
        self.rest().starts_with(wanted).then(|| self.at += wanted.len())
    }

    fn next(&mut self) -> Option<char> {
        let next = self.peek()?;
        self.at += next.len_utf8();
        Some(next)
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn rest(&self) -> &str {
        self.text.get(self.at..).unwrap_or_default()
    }
}

fn literal(word: &str) -> Option<Value> {
    match word {
        "true" => Some(Value::Bool(true)),
        "false" => Some(Value::Bool(false)),
        "null" => Some(Value::Null),
        "" => None,
        number => Number::from_str(number).ok().map(Value::Number),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Part {
        Part::Text(text.to_owned())
    }

    fn typed(kind: &str, params: &[&str], address: Option<&str>) -> Source {
        Source::Typed {
            kind: kind.to_owned(),
            params: params.iter().map(|param| vec![text(param)]).collect(),
            address: address.map(|address| vec![text(address)]),
        }
    }

    fn sources(written: &str) -> Vec<Source> {
        match parse(written).as_slice() {
            [Part::Variable(variable)] => {
                assert_eq!(variable.written, written);
                variable.sources.clone()
            }
            other => panic!("`{written}` is {other:?}"),
        }
    }

    #[test]
    fn sources_are_taken_in_their_order() {
        let all = sources(r#"${opt:stage, self:a.b-c, env:X , "d\"q", 'x, y'}"#);
        let expected = [
            typed("opt", &[], Some("stage")),
            typed("self", &[], Some("a.b-c")),
            typed("env", &[], Some("X")),
            Source::Literal("d\"q".into()),
            Source::Literal("x, y".into()),
        ];
        assert_eq!(all, expected);
        assert_eq!(
            sources("${opt:a, 5, true, null}")[1..],
            [5.into(), true.into(), Value::Null].map(Source::Literal)
        );
        assert_eq!(sources("${file(./a b.yml, 'c,d'):e}"), [typed("file", &["./a b.yml", "c,d"], Some("e"))]);
        assert_eq!(sources("${self:}"), [typed("self", &[], None)]);
    }

    #[test]
    fn variables_are_put_into_variables() {
        let all = sources("${self:a.${sls:stage}.b, file(${opt:f, 'x'}.yml)}");
        let Source::Typed { address: Some(address), .. } = &all[0] else { panic!("{all:?}") };
        assert_eq!((&address[0], &address[2]), (&text("a."), &text(".b")));
        let Part::Variable(inner) = &address[1] else { panic!("{address:?}") };
        assert_eq!(inner.written, "${sls:stage}");
        let Source::Typed { params, .. } = &all[1] else { panic!("{all:?}") };
        assert_eq!(params[0][1], text(".yml"));
    }

    #[test]
    fn what_is_no_variable_stays_as_it_is() {
        for (written, read) in [
            ("${AWS::Region}-x", "${AWS::Region}-x"),
            ("${foo::bar}", "${foo::bar}"),
            ("${self:a", "${self:a"),
            ("${self}", "${self}"),
            ("$${x} { }", "$${x} { }"),
            (r"\${self:a}", "${self:a}"),
            (r"a\b", r"a\b"),
            ("ü${}", "ü${}"),
        ] {
            assert_eq!(parse(written), [text(read)], "{written}");
        }
        assert_eq!(parse(""), []);
        let parts = parse(r"\\${self:a}z");
        assert_eq!((&parts[0], &parts[2]), (&text("\\"), &text("z")));
    }
}
