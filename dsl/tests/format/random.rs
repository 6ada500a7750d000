//! Syntax trees that are made up, and their text in layouts that are, too.

use proptest::prelude::*;

/// A statement.
#[derive(Clone, Debug)]
pub struct Node {
    pub docs: Vec<String>,
    pub head: Vec<Part>,
    pub body: Option<Vec<Node>>,
}

/// What a head is made of.
#[derive(Clone, Debug)]
pub enum Part {
    /// Has blanks, or what stands for them, around it.
    Word(String),
    /// Needs none.
    Sign(&'static str),
    /// Words with nothing but blanks between them: `16 MiB`, `at boot`.
    Phrase(&'static str),
    List(Vec<Vec<Part>>),
}

const KEYWORDS: [&str; 17] = [
    "unik",
    "param",
    "include",
    "let",
    "when",
    "crate",
    "appliance",
    "device",
    "network",
    "storage",
    "service",
    "on",
    "target",
    "per",
    "budget",
    "at",
    "boot",
];

fn name() -> impl Strategy<Value = String> {
    "[a-z][a-z0-9]{0,8}(-[a-z0-9]{1,5})?".prop_filter("a keyword", |name| !KEYWORDS.contains(&name.as_str()))
}

fn word(text: impl Into<String>) -> Part {
    Part::Word(text.into())
}

fn string() -> impl Strategy<Value = String> {
    prop_oneof![
        r"[ !#-\[\]-~]{0,20}".prop_map(|text| format!("\"{text}\"")),
        prop::sample::select(vec![r#""\" // { /* \\""#, "\"é, [=;\"", "\"\\u{1F600}}\""])
            .prop_map(String::from),
        // One that makes its line long.
        Just(format!("\"{}\"", "x".repeat(60))),
    ]
}

fn value() -> impl Strategy<Value = Vec<Part>> {
    let words = vec![
        "10.0.0.2/24",
        "10.0.0.1:53",
        "[::1]:53",
        "fd00::/64",
        "52:54:00:12:34:56",
        "16MiB",
        "0x1f",
        "a::b",
        "x.y",
        "1_000",
        "Word",
        "::",
    ];
    let leaf = prop_oneof![
        name().prop_map(|name| vec![word(name)]),
        name().prop_map(|name| vec![word(format!("${name}"))]),
        string().prop_map(|text| vec![word(text)]),
        prop::sample::select(words).prop_map(|text| vec![word(text)]),
        prop::sample::select(vec!["16 MiB", "90 s", "1000 per second", "5 per 10 min"])
            .prop_map(|text| vec![Part::Phrase(text)]),
        (name(), string()).prop_map(|(name, path)| vec![word(name), Part::Sign("/"), word(path)]),
    ];
    leaf.prop_recursive(3, 12, 5, |inner| {
        prop::collection::vec(inner, 0..5).prop_map(|values| vec![Part::List(values)])
    })
}

fn docs() -> impl Strategy<Value = Vec<String>> {
    let one = "[ a-z]{0,12}".prop_map(|text| format!("/// {text}").trim_end().to_string());
    prop::collection::vec(one, 0..2)
}

fn node(head: Vec<Part>, body: Option<Vec<Node>>) -> Node {
    Node { docs: Vec::new(), head, body }
}

fn documented(node: impl Strategy<Value = Node>) -> impl Strategy<Value = Node> {
    (docs(), node).prop_map(|(docs, node)| Node { docs, ..node })
}

fn entry(body: impl Strategy<Value = Option<Vec<Node>>>) -> impl Strategy<Value = Node> {
    documented((name(), prop::collection::vec(value(), 0..4), body).prop_map(|(key, values, body)| {
        node(std::iter::once(word(key)).chain(values.into_iter().flatten()).collect(), body)
    }))
}

fn condition(body: impl Strategy<Value = Vec<Node>>) -> impl Strategy<Value = Node> {
    let subject = prop_oneof![Just("target".to_string()), name().prop_map(|name| format!("${name}"))];
    let sign = prop::sample::select(vec![Part::Sign("=="), Part::Sign("!="), word("in")]);
    documented((subject, prop::option::of((sign, value())), body).prop_map(|(subject, test, body)| {
        let mut head = vec![word("when"), word(subject)];
        if let Some((sign, value)) = test {
            head.push(sign);
            head.extend(value);
        }
        node(head, Some(body))
    }))
}

/// What stands in an option, a declaration or a crate.
fn options() -> impl Strategy<Value = Vec<Node>> {
    let nested = entry(Just(None)).boxed().prop_recursive(3, 12, 3, |inner| {
        let body = prop::collection::vec(inner, 0..4).boxed();
        prop_oneof![entry(body.clone().prop_map(Some)), condition(body)]
    });
    prop::collection::vec(nested, 0..4)
}

fn declaration() -> impl Strategy<Value = Node> {
    let kind = prop::sample::select(vec!["device", "network", "storage", "service"]);
    let wires = prop::collection::vec(name(), 0..3);
    let parts = (kind, name(), name(), wires, prop::option::of(options()));
    documented(parts.prop_map(|(kind, name, component, wires, body)| {
        let mut head = vec![word(kind), word(name), Part::Sign("="), word(component)];
        if !wires.is_empty() {
            head.push(word("on"));
        }
        head.extend(wires.into_iter().map(word));
        node(head, body)
    }))
}

fn param() -> impl Strategy<Value = Node> {
    let ty = prop::sample::select(vec!["integer 1..=9", "name", "off|on", "list cidr4"]);
    let parts = (name(), ty, any::<bool>(), prop::option::of(value()));
    documented(parts.prop_map(|(name, ty, boot, default)| {
        let mut head = vec![word("param"), word(name), Part::Sign(":"), Part::Phrase(ty)];
        if boot {
            head.push(Part::Phrase("at boot"));
        }
        if let Some(default) = default {
            head.push(Part::Sign("="));
            head.extend(default);
        }
        node(head, None)
    }))
}

/// A whole file.
pub fn file() -> impl Strategy<Value = Vec<Node>> {
    let binding = documented((name(), value()).prop_map(|(name, value)| {
        node([word("let"), word(name), Part::Sign("=")].into_iter().chain(value).collect(), None)
    }));
    let setting = options().prop_map(|body| node(vec![word("log")], Some(body)));
    let member = prop_oneof![3 => declaration(), 1 => setting, 1 => entry(Just(None))];
    let members = prop::collection::vec(member, 0..5).boxed();
    let appliance = documented((name(), members.clone(), prop::option::of(condition(members))).prop_map(
        |(name, mut body, condition)| {
            body.extend(condition);
            node(vec![word("appliance"), word(name)], Some(body))
        },
    ));
    let named_crate = documented(
        (name(), options()).prop_map(|(name, body)| node(vec![word("crate"), word(name)], Some(body))),
    );
    let include = string().prop_map(|text| node(vec![word("include"), word(text)], None));
    let statement = prop_oneof![
        1 => Just(node(vec![word("unik"), word("1")], None)),
        1 => include,
        2 => param(),
        2 => binding,
        1 => named_crate,
        3 => appliance,
    ];
    prop::collection::vec(statement, 0..5)
}

/// Writes trees, and lets noise choose the layout.
pub struct Writer<'n> {
    noise: std::iter::Cycle<std::slice::Iter<'n, u8>>,
    /// No comments but docs, no blank lines, and a line for each entry and value of a list.
    broken: bool,
    text: String,
    comments: usize,
}

impl<'n> Writer<'n> {
    pub fn new(noise: &'n [u8]) -> Self {
        Writer { noise: noise.iter().cycle(), broken: false, text: String::new(), comments: 0 }
    }

    pub fn broken(noise: &'n [u8]) -> Self {
        Writer { broken: true, ..Writer::new(noise) }
    }

    pub fn file(mut self, nodes: &[Node]) -> String {
        if self.choose(8) == 0 {
            self.text.push('\u{feff}');
        }
        self.gap();
        self.nodes(nodes);
        self.text
    }

    fn choose(&mut self, of: u8) -> u8 {
        // Noise that repeats itself should not do so in step with the text.
        let count = u8::try_from(self.text.len() % 7).unwrap_or_default();
        self.noise.next().map_or(0, |byte| byte.wrapping_add(count)) % of
    }

    fn one_of(&mut self, texts: &[&str]) {
        let chosen = self.choose(u8::try_from(texts.len()).unwrap());
        self.text.push_str(texts[usize::from(chosen)]);
    }

    fn nodes(&mut self, nodes: &[Node]) {
        for (number, node) in nodes.iter().enumerate() {
            for doc in &node.docs {
                self.text.push_str(doc);
                self.newline();
                self.gap();
            }
            if !self.broken && self.choose(10) == 0 {
                self.block_comment();
            }
            self.head(&node.head);
            if let Some(body) = &node.body {
                self.blanks(false);
                self.text.push('{');
                self.block(body);
                self.text.push('}');
            }
            if number + 1 < nodes.len() || self.choose(2) == 0 {
                self.separator();
            }
        }
    }

    fn block(&mut self, body: &[Node]) {
        if self.broken {
            self.newline();
            self.nodes(body);
            self.newline();
            return;
        }
        self.gap();
        self.nodes(body);
        if self.choose(2) == 0 {
            self.newline();
        }
        self.gap();
    }

    fn head(&mut self, head: &[Part]) {
        let mut tight = true;
        for part in head {
            let sign = matches!(part, Part::Sign(_));
            self.blanks(!(tight || sign));
            tight = sign;
            match part {
                Part::Word(word) => self.text.push_str(word),
                Part::Sign(sign) => self.text.push_str(sign),
                Part::Phrase(phrase) => {
                    for (number, word) in phrase.split(' ').enumerate() {
                        if number > 0 {
                            self.one_of(&["  ", " ", "\t", " \t "]);
                        }
                        self.text.push_str(word);
                    }
                }
                Part::List(values) => self.list(values),
            }
        }
    }

    fn list(&mut self, values: &[Vec<Part>]) {
        self.text.push('[');
        self.list_gap();
        for (number, value) in values.iter().enumerate() {
            self.head(value);
            self.list_gap();
            if number + 1 < values.len() || self.choose(2) == 0 {
                self.text.push(',');
                self.list_gap();
            }
        }
        self.text.push(']');
    }

    /// What may stand between values of a list.
    fn list_gap(&mut self) {
        if self.broken {
            return self.newline();
        }
        match self.choose(8) {
            0 => self.gap(),
            1 => self.line_comment("/// "),
            2 => self.newline(),
            _ => self.blanks(false),
        }
    }

    /// What may stand between the words of a head.
    fn blanks(&mut self, needed: bool) {
        match self.choose(12) {
            0 | 1 if !self.broken => {
                self.text.push(' ');
                self.block_comment();
            }
            2 => self.text.push_str("   "),
            3 => self.text.push('\t'),
            4 => self.text.push_str(" \r "),
            5..=8 => self.text.push(' '),
            _ if needed => self.text.push(' '),
            _ => {}
        }
    }

    /// What ends an entry.
    fn separator(&mut self) {
        if self.broken {
            self.one_of(&["", ";", ";;", " ; "]);
            return self.newline();
        }
        match self.choose(8) {
            0 | 1 => self.text.push(';'),
            2 => self.text.push_str(" ; ; "),
            3 => {
                self.blanks(true);
                self.line_comment("// ");
            }
            4 => {
                self.text.push_str("; ");
                self.line_comment("// ");
            }
            5 => {
                self.text.push(';');
                self.blanks(false);
                return;
            }
            _ => self.newline(),
        }
        self.gap();
    }

    /// What may stand where no entry is open.
    fn gap(&mut self) {
        while !self.broken {
            match self.choose(9) {
                0 => self.newline(),
                1 => self.line_comment("// "),
                2 => {
                    self.newline();
                    self.block_comment();
                }
                3 => self.block_comment(),
                4 => self.text.push_str("\n\n\n"),
                _ => break,
            }
        }
        self.one_of(&["", " ", "\t", "      "]);
    }

    fn newline(&mut self) {
        self.one_of(&["\n", "\r\n", "  \n"]);
    }

    fn line_comment(&mut self, mark: &str) {
        self.comments += 1;
        self.text.push_str(&format!("{mark}{{ \" {} /*  ", self.comments));
        self.newline();
    }

    fn block_comment(&mut self) {
        self.comments += 1;
        let inner = ["", " // ", " /* \" */ ", "\n  x\n", "\r\n\t\t\t*  \r\n"][usize::from(self.choose(5))];
        self.text.push_str(&format!("/* {}{inner}*/", self.comments));
    }
}
