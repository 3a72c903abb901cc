//! Which lines of which sources a script was made of.

use std::collections::HashSet;

use camino::{Utf8Path, Utf8PathBuf};
use sourcemap::SourceMap;

use crate::paths::normalized;

/// A source map, as far as breakpoints need it.
#[derive(Debug)]
pub(super) struct LineMap {
    directory: Utf8PathBuf,
    sources: Vec<String>,
    /// The lines of each source that have code, counted from zero.
    lines: HashSet<(usize, u32)>,
    map: SourceMap,
}

impl LineMap {
    pub(super) fn read(file: &Utf8Path) -> Option<Self> {
        let map = SourceMap::from_slice(&fs_err::read(file).ok()?).ok()?;
        let lines = map.tokens().filter(|token| token.has_source());
        let lines = lines.map(|token| (token.get_src_id() as usize, token.get_src_line())).collect();
        let sources = map.sources().map(str::to_owned).collect();
        Some(Self { directory: file.parent()?.to_owned(), sources, lines, map })
    }

    pub(super) fn sources(&self) -> impl Iterator<Item = &str> {
        self.sources.iter().map(String::as_str)
    }

    pub(super) fn path_of(&self, source: &str) -> Utf8PathBuf {
        normalized(&self.directory.join(source))
    }

    pub(super) fn has_code(&self, source: usize, line: u32) -> bool {
        self.lines.contains(&(source, line))
    }

    /// The line of a source that a place in the script was made of.
    pub(super) fn line_of(&self, source: usize, line: u32, column: u32) -> Option<u32> {
        let token = self.map.lookup_token(line, column)?;
        // A breakpoint at the beginning of a line stands before its first code.
        let next =
            || self.map.tokens().find(|token| (token.get_dst_line(), token.get_dst_col()) >= (line, column));
        let token = if token.get_dst_line() == line { token } else { next()? };
        (token.has_source() && token.get_src_id() as usize == source).then(|| token.get_src_line())
    }
}
