//! What a collector is sent, read from its bytes by the numbers of `opentelemetry/proto/trace/v1/trace.proto`.

use std::collections::BTreeMap;

/// As a viewer would show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) service: String,
    pub(crate) trace: String,
    pub(crate) id: String,
    /// Empty for a root.
    pub(crate) parent: String,
    pub(crate) name: String,
    pub(crate) kind: u64,
    /// Nanoseconds since 1970.
    pub(crate) began: u64,
    pub(crate) ended: u64,
    pub(crate) attributes: BTreeMap<String, String>,
    /// 2 is an error.
    pub(crate) status: u64,
}

impl Span {
    pub(crate) fn attribute(&self, name: &str) -> &str {
        self.attributes.get(name).map_or("", String::as_str)
    }
}

/// The spans of an `ExportTraceServiceRequest`.
pub(crate) fn spans(request: &[u8]) -> Vec<Span> {
    let mut found = Vec::new();
    for of_resource in Message(request).all(1) {
        let service = attributes(of_resource.one(1), 1).remove("service.name").unwrap();
        for of_scope in of_resource.all(2) {
            found.extend(of_scope.all(2).map(|span| read(span, &service)));
        }
    }
    found
}

fn read(span: Message<'_>, service: &str) -> Span {
    Span {
        service: service.to_owned(),
        trace: hex::encode(span.one(1).0),
        id: hex::encode(span.one(2).0),
        parent: hex::encode(span.one(4).0),
        name: span.one(5).text(),
        kind: span.number(6),
        began: span.number(7),
        ended: span.number(8),
        attributes: attributes(span, 9),
        status: span.one(15).number(3),
    }
}

fn attributes(of: Message<'_>, number: u64) -> BTreeMap<String, String> {
    let pairs = of.all(number).map(|pair| {
        let value = pair.one(2);
        let text = value.fields().next().map_or_else(String::new, |(kind, field)| match field {
            Field::Bytes(_) => value.one(kind).text(),
            Field::Number(number) if kind == 2 => (number == 1).to_string(),
            Field::Number(number) => number.to_string(),
        });
        (pair.one(1).text(), text)
    });
    pairs.collect()
}

#[derive(Clone, Copy)]
struct Message<'a>(&'a [u8]);

enum Field<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

impl<'a> Message<'a> {
    fn fields(self) -> impl Iterator<Item = (u64, Field<'a>)> {
        let mut rest = self.0;
        std::iter::from_fn(move || {
            (!rest.is_empty()).then(|| {
                let tag = varint(&mut rest);
                let field = match tag & 7 {
                    0 => Field::Number(varint(&mut rest)),
                    1 => Field::Number(u64::from_le_bytes(taken(&mut rest, 8).try_into().unwrap())),
                    2 => {
                        let length = usize::try_from(varint(&mut rest)).unwrap();
                        Field::Bytes(taken(&mut rest, length))
                    }
                    5 => Field::Number(u32::from_le_bytes(taken(&mut rest, 4).try_into().unwrap()).into()),
                    other => panic!("no wire type {other}"),
                };
                (tag >> 3, field)
            })
        })
    }

    fn all(self, number: u64) -> impl Iterator<Item = Message<'a>> {
        self.fields().filter_map(move |(at, field)| match field {
            Field::Bytes(bytes) if at == number => Some(Message(bytes)),
            _ => None,
        })
    }

    /// Nothing where it is not there: as an empty one is not written.
    fn one(self, number: u64) -> Message<'a> {
        self.all(number).next().unwrap_or(Message(&[]))
    }

    fn number(self, number: u64) -> u64 {
        let mut numbers = self.fields().filter_map(|(at, field)| match field {
            Field::Number(value) if at == number => Some(value),
            _ => None,
        });
        numbers.next().unwrap_or(0)
    }

    fn text(self) -> String {
        String::from_utf8(self.0.to_vec()).unwrap()
    }
}

fn varint(rest: &mut &[u8]) -> u64 {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let byte = taken(rest, 1)[0];
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return value;
        }
    }
    panic!("a number without an end")
}

fn taken<'a>(rest: &mut &'a [u8], count: usize) -> &'a [u8] {
    let (taken, left) = rest.split_at(count);
    *rest = left;
    taken
}
