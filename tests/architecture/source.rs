//! What the source says: its modules, what each brings into scope, and every path, macro, call and text in it. `names` tells what the
//! paths mean.

use std::collections::{BTreeMap, BTreeSet};

use proc_macro2::{Delimiter, TokenStream, TokenTree};
use quote::ToTokens;
use syn::{
    Attribute, File, ImplItem, Item, Meta, Stmt, UseTree,
    visit::{self, Visit},
};

/// A module, which may be a whole file or be written out in one.
#[derive(Debug, Default)]
pub(crate) struct Module {
    /// From the root of the crate, e.g. `relay`, `dial`.
    pub path: Vec<String>,
    /// Below `src`.
    pub file: String,
    /// Whether it is only there for tests.
    pub test: bool,
    /// What is brought into scope under a name, as it is written; one name may stand for a macro and for a type.
    pub imports: BTreeMap<String, BTreeSet<Vec<String>>>,
    /// What is brought into scope with `*`.
    pub globs: BTreeSet<Vec<String>>,
    /// What it defines itself, other modules among it.
    pub items: BTreeSet<String>,
    pub sayings: Vec<Saying>,
}

/// Something that code says.
#[derive(Debug)]
pub(crate) struct Saying {
    pub what: What,
    pub line: usize,
    /// The function around it, and how many closures there are in between.
    pub function: Option<String>,
    pub closures: usize,
}

#[derive(Debug)]
pub(crate) enum What {
    /// As it is written, without generic arguments. A leading `::` is an empty segment.
    Path(Vec<String>),
    /// What is brought into scope, which ends with `*` if that is everything.
    Import(Vec<String>),
    /// `path!(…)`.
    Macro(Vec<String>),
    /// `path(…)`, with what is between the parentheses. The path is a saying of its own.
    Call(Vec<String>, String),
    /// `.method(…)`, with what is between the parentheses.
    Method(String, String),
    /// A literal.
    Text(String),
}

/// A declaration `mod name;`, whose text is in another file.
pub(crate) struct Elsewhere {
    pub path: Vec<String>,
    pub test: bool,
    /// By an attribute `#[path]`.
    pub moved: bool,
}

/// Reads a file. Returns the modules that are written out in it, itself first, and those that are elsewhere.
pub(crate) fn read(path: &[String], file: &str, text: &str, test: bool) -> (Vec<Module>, Vec<Elsewhere>) {
    let parsed: File = syn::parse_file(text).unwrap_or_else(|error| panic!("{file}: {error}"));
    let mut reader = Reader { done: Vec::new(), elsewhere: Vec::new(), open: Vec::new() };
    reader.begin(path.to_vec(), file, test);
    parsed.attrs.iter().for_each(|attribute| reader.visit_attribute(attribute));
    parsed.items.iter().for_each(|item| reader.visit_item(item));
    reader.end();
    reader.done.reverse();
    (reader.done, reader.elsewhere)
}

struct Reader {
    done: Vec<Module>,
    elsewhere: Vec<Elsewhere>,
    open: Vec<Open>,
}

/// A module that is being read.
struct Open {
    module: Module,
    functions: Vec<String>,
    closures: usize,
}

impl Reader {
    fn begin(&mut self, path: Vec<String>, file: &str, test: bool) {
        let module = Module { path, file: file.to_owned(), test, ..Module::default() };
        self.open.push(Open { module, functions: Vec::new(), closures: 0 });
    }

    fn end(&mut self) {
        self.done.extend(self.open.pop().map(|open| open.module));
    }

    fn here(&mut self) -> &mut Open {
        self.open.last_mut().expect("a module is open")
    }

    fn say(&mut self, what: What, line: usize) {
        let Open { module, functions, closures } = self.here();
        module.sayings.push(Saying { what, line, function: functions.last().cloned(), closures: *closures });
    }

    fn within(&mut self, function: String, read: impl FnOnce(&mut Self)) {
        let closures = std::mem::take(&mut self.here().closures);
        self.here().functions.push(function);
        read(self);
        self.here().functions.pop();
        self.here().closures = closures;
    }

    /// One path of a `use`, which may be a whole tree of them.
    fn import(&mut self, tree: &UseTree, before: &[String], line: usize) {
        let join = |name: &syn::Ident| [before, &[plain(name)]].concat();
        let (path, name) = match tree {
            UseTree::Path(path) => return self.import(&path.tree, &join(&path.ident), line),
            UseTree::Group(group) => {
                return group.items.iter().for_each(|tree| self.import(tree, before, line));
            }
            UseTree::Glob(_) => {
                self.here().module.globs.insert(before.to_vec());
                return self.say(What::Import([before, &["*".to_owned()]].concat()), line);
            }
            UseTree::Name(name) if name.ident == "self" => (before.to_vec(), before.last().cloned()),
            UseTree::Rename(rename) if rename.ident == "self" => {
                (before.to_vec(), Some(plain(&rename.rename)))
            }
            UseTree::Name(name) => (join(&name.ident), Some(plain(&name.ident))),
            UseTree::Rename(rename) => (join(&rename.ident), Some(plain(&rename.rename))),
        };
        self.here().module.imports.entry(name.unwrap_or_default()).or_default().insert(path.clone());
        self.say(What::Import(path), line);
    }

    /// What is in a macro's parentheses may have any syntax, so its paths are looked for among its words.
    fn words(&mut self, tokens: TokenStream, before: &[String]) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        let is = |at: usize, wanted: char| matches!(tokens.get(at), Some(TokenTree::Punct(punct)) if punct.as_char() == wanted);
        let mut at = 0;
        while at < tokens.len() {
            let begin = at;
            let line = tokens[at].span().start().line;
            at += 1;
            match &tokens[begin] {
                TokenTree::Group(group) => self.words(group.stream(), &[]),
                TokenTree::Literal(literal) => self.literal(literal, line),
                // A lifetime or a label.
                TokenTree::Punct(punct) if punct.as_char() == '\'' => at += 1,
                TokenTree::Punct(_) => {}
                TokenTree::Ident(first) => {
                    let of_generics = |at: usize| at >= 3 && is(at - 3, '>');
                    let leading = begin >= 2 && is(begin - 1, ':') && is(begin - 2, ':');
                    let of_value = begin >= 1 && is(begin - 1, '.') && !(begin >= 2 && is(begin - 2, '.'));
                    let mut path = before.to_vec();
                    if leading && !of_generics(begin) && before.is_empty() {
                        path.push(String::new());
                    }
                    path.push(plain(first));
                    loop {
                        if !(is(at, ':') && is(at + 1, ':')) {
                            break;
                        }
                        match tokens.get(at + 2) {
                            Some(TokenTree::Ident(next)) => {
                                path.push(plain(next));
                                at += 3;
                            }
                            // `::<T>::`: on behind it; what is in it is read as well.
                            Some(TokenTree::Punct(punct)) if punct.as_char() == '<' => {
                                let end = end_of_generics(&tokens, at + 2);
                                self.words(tokens[at + 3..end].iter().cloned().collect(), &[]);
                                at = (end + 1).min(tokens.len());
                            }
                            Some(TokenTree::Punct(punct)) if punct.as_char() == '*' => {
                                path.push("*".to_owned());
                                at += 3;
                            }
                            Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Brace => {
                                self.words(group.stream(), &path);
                                at += 3;
                            }
                            _ => break,
                        }
                    }
                    let call = match tokens.get(at) {
                        Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Parenthesis => {
                            Some(group.stream().to_string())
                        }
                        _ => None,
                    };
                    match call {
                        Some(arguments) if of_value => {
                            self.say(What::Method(path.concat(), arguments), line);
                        }
                        _ if of_value => {}
                        Some(arguments) => {
                            self.say(What::Call(path.clone(), arguments), line);
                            self.say(What::Path(path), line);
                        }
                        None if is(at, '!') && matches!(tokens.get(at + 1), Some(TokenTree::Group(_))) => {
                            self.say(What::Macro(path), line);
                        }
                        None => self.say(What::Path(path), line),
                    }
                }
            }
        }
    }

    fn literal(&mut self, literal: &proc_macro2::Literal, line: usize) {
        match syn::parse_str(&literal.to_string()) {
            Ok(syn::Lit::Str(text)) => self.say(What::Text(text.value()), line),
            Ok(syn::Lit::ByteStr(bytes)) => self.bytes(&bytes.value(), line),
            Ok(syn::Lit::CStr(text)) => self.bytes(text.value().as_bytes(), line),
            _ => {}
        }
    }

    fn bytes(&mut self, bytes: &[u8], line: usize) {
        self.say(What::Text(String::from_utf8_lossy(bytes).into_owned()), line);
    }
}

impl<'a> Visit<'a> for Reader {
    fn visit_item(&mut self, item: &'a Item) {
        if is_test(attributes_of_item(item)) && !matches!(item, Item::Mod(_)) && !self.here().module.test {
            return;
        }
        if let Some(name) = name_of_item(item) {
            self.here().module.items.insert(name);
        }
        match item {
            Item::Mod(module) => {
                let path = [&*self.here().module.path, &[plain(&module.ident)]].concat();
                let test = self.here().module.test || is_test(&module.attrs);
                let moved = module.attrs.iter().any(|attribute| attribute.path().is_ident("path"));
                module.attrs.iter().for_each(|attribute| self.visit_attribute(attribute));
                match &module.content {
                    Some((_, items)) => {
                        let file = self.here().module.file.clone();
                        self.begin(path, &file, test);
                        items.iter().for_each(|item| self.visit_item(item));
                        self.end();
                    }
                    None => self.elsewhere.push(Elsewhere { path, test, moved }),
                }
            }
            Item::Use(import) => {
                let before = import.leading_colon.map(|_| String::new());
                let line = import.use_token.span.start().line;
                self.import(&import.tree, before.as_slice(), line);
            }
            Item::Macro(definition) if definition.ident.is_some() => {
                self.words(definition.mac.tokens.clone(), &[]);
            }
            // Another name for something, as an import is.
            Item::Type(alias) => {
                if let syn::Type::Path(path) = &*alias.ty {
                    let imports = &mut self.here().module.imports;
                    imports.entry(plain(&alias.ident)).or_default().insert(segments(&path.path));
                }
                visit::visit_item_type(self, alias);
            }
            Item::Fn(function) => {
                self.within(plain(&function.sig.ident), |reader| visit::visit_item_fn(reader, function));
            }
            item => visit::visit_item(self, item),
        }
    }

    fn visit_impl_item(&mut self, item: &'a ImplItem) {
        let attributes = match item {
            ImplItem::Const(item) => &item.attrs,
            ImplItem::Fn(item) => &item.attrs,
            ImplItem::Type(item) => &item.attrs,
            ImplItem::Macro(item) => &item.attrs,
            _ => return visit::visit_impl_item(self, item),
        };
        if is_test(attributes) && !self.here().module.test {
            return;
        }
        match item {
            ImplItem::Fn(function) => {
                self.within(plain(&function.sig.ident), |reader| visit::visit_impl_item_fn(reader, function))
            }
            item => visit::visit_impl_item(self, item),
        }
    }

    fn visit_stmt(&mut self, statement: &'a Stmt) {
        let test = match statement {
            Stmt::Local(local) => is_test(&local.attrs),
            Stmt::Macro(call) => is_test(&call.attrs),
            _ => false,
        };
        if !test || self.here().module.test {
            visit::visit_stmt(self, statement);
        }
    }

    fn visit_field(&mut self, field: &'a syn::Field) {
        if !is_test(&field.attrs) || self.here().module.test {
            visit::visit_field(self, field);
        }
    }

    fn visit_expr_closure(&mut self, closure: &'a syn::ExprClosure) {
        self.here().closures += 1;
        visit::visit_expr_closure(self, closure);
        self.here().closures -= 1;
    }

    fn visit_path(&mut self, path: &'a syn::Path) {
        let line = path.segments.first().map_or(0, |first| first.ident.span().start().line);
        self.say(What::Path(segments(path)), line);
        visit::visit_path(self, path);
    }

    /// Who may see something is no use of it.
    fn visit_vis_restricted(&mut self, _: &'a syn::VisRestricted) {}

    fn visit_macro(&mut self, call: &'a syn::Macro) {
        let line = call.bang_token.span.start().line;
        self.say(What::Macro(segments(&call.path)), line);
        self.words(call.tokens.clone(), &[]);
    }

    fn visit_expr_call(&mut self, call: &'a syn::ExprCall) {
        if let syn::Expr::Path(function) = &*call.func {
            let line = call.paren_token.span.open().start().line;
            self.say(What::Call(segments(&function.path), call.args.to_token_stream().to_string()), line);
        }
        visit::visit_expr_call(self, call);
    }

    fn visit_expr_method_call(&mut self, call: &'a syn::ExprMethodCall) {
        let line = call.method.span().start().line;
        self.say(What::Method(plain(&call.method), call.args.to_token_stream().to_string()), line);
        visit::visit_expr_method_call(self, call);
    }

    fn visit_lit(&mut self, literal: &'a syn::Lit) {
        let line = literal.span().start().line;
        match literal {
            syn::Lit::Str(text) => self.say(What::Text(text.value()), line),
            syn::Lit::ByteStr(bytes) => self.bytes(&bytes.value(), line),
            syn::Lit::CStr(text) => self.bytes(text.value().as_bytes(), line),
            _ => {}
        }
    }

    /// Derived code is named by words, and what it is to call by texts (`#[serde(with = "crate::…")]`).
    fn visit_attribute(&mut self, attribute: &'a Attribute) {
        let line = attribute.bracket_token.span.open().start().line;
        let path = segments(attribute.path());
        if ["doc", "cfg", "allow", "expect"].contains(&path[0].as_str()) {
            return;
        }
        self.say(What::Path(path), line);
        let tokens = match &attribute.meta {
            Meta::Path(_) => return,
            Meta::List(list) => list.tokens.clone(),
            Meta::NameValue(pair) => pair.value.to_token_stream(),
        };
        let before = self.here().module.sayings.len();
        self.words(tokens, &[]);
        let said = &self.here().module.sayings[before..];
        let named: Vec<Vec<String>> = said
            .iter()
            .filter_map(|saying| match &saying.what {
                What::Text(text) if text.contains("::") => syn::parse_str(text).ok(),
                _ => None,
            })
            .map(|path| segments(&path))
            .collect();
        named.into_iter().for_each(|path| self.say(What::Path(path), line));
    }
}

/// Where the generic arguments end that begin at a `<`.
fn end_of_generics(tokens: &[TokenTree], begin: usize) -> usize {
    let mut depth = 0;
    for (at, token) in tokens.iter().enumerate().skip(begin) {
        if let TokenTree::Punct(punct) = token {
            // The end of an arrow is none of a list.
            let arrow =
                at > 0 && matches!(&tokens[at - 1], TokenTree::Punct(before) if before.as_char() == '-');
            match punct.as_char() {
                '<' => depth += 1,
                '>' if !arrow => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                return at;
            }
        }
    }
    tokens.len()
}

fn plain(name: &proc_macro2::Ident) -> String {
    name.to_string().trim_start_matches("r#").to_owned()
}

fn segments(path: &syn::Path) -> Vec<String> {
    let leading = path.leading_colon.map(|_| String::new());
    leading.into_iter().chain(path.segments.iter().map(|segment| plain(&segment.ident))).collect()
}

/// Whether something is compiled for tests only.
fn is_test(attributes: &[Attribute]) -> bool {
    fn needs_test(condition: &Meta) -> bool {
        match condition {
            Meta::Path(path) => path.is_ident("test"),
            Meta::List(list) if list.path.is_ident("all") => {
                let parser = syn::punctuated::Punctuated::<Meta, syn::Token![,]>::parse_terminated;
                list.parse_args_with(parser).is_ok_and(|all| all.iter().any(needs_test))
            }
            _ => false,
        }
    }
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("test")
            || (attribute.path().is_ident("cfg")
                && attribute.parse_args().is_ok_and(|condition| needs_test(&condition)))
    })
}

fn attributes_of_item(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

fn name_of_item(item: &Item) -> Option<String> {
    let name = match item {
        Item::Const(item) => &item.ident,
        Item::Enum(item) => &item.ident,
        Item::Fn(item) => &item.sig.ident,
        Item::Macro(item) => item.ident.as_ref()?,
        Item::Mod(item) => &item.ident,
        Item::Static(item) => &item.ident,
        Item::Struct(item) => &item.ident,
        Item::Trait(item) => &item.ident,
        Item::Union(item) => &item.ident,
        // The others are imports, or have none.
        _ => return None,
    };
    Some(plain(name))
}
