//! People, shown so that they can be told apart and not be known.

use std::fmt::Write;

use serde_json::Value;

/// `zoe@example.edu` as `z•••@e•••`.
pub fn email(address: &str) -> String {
    let start = |text: &str| text.chars().next().map(String::from).unwrap_or_default();
    match address.split_once('@') {
        Some((local, domain)) => format!("{}•••@{}•••", start(local), start(domain)),
        None => format!("{}•••", start(address)),
    }
}

/// Fields that hold a person, whatever is around them.
const PEOPLE: [&str; 7] = ["name", "phone", "title", "html", "text", "meeting_url", "subject_line"];

/// Masks names, addresses and numbers of people, and what is written to them.
pub fn mask_people(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                match field {
                    Value::String(text) if PEOPLE.contains(&name.as_str()) => *text = hidden(text),
                    field => mask_people(field),
                }
            }
        }
        Value::Array(values) => values.iter_mut().for_each(mask_people),
        Value::String(text) if text.contains('@') => *text = without_addresses(text),
        _ => {}
    }
}

/// Where a document of ours names who acted: an act alone, in a list, and in a list or a story that has a name; and what is paused,
/// which holds names of providers and workflows, and what operators wrote.
const ACTORS: [&[&str]; 4] = [&["actor"], &["*", "actor"], &["acts", "*", "actor"], &["paused"]];

/// Masks people in a document of ours: an act, rows, a story. Who acted is one of the team and no customer: a trail that does not
/// name them is none.
pub fn mask_document(document: &mut Value) {
    let mut actors = Vec::new();
    each_actor(document, &mut |actor| actors.push(actor.clone()));
    mask_people(document);
    let mut actors = actors.into_iter();
    each_actor(document, &mut |actor| *actor = actors.next().unwrap_or_default());
}

fn each_actor(document: &mut Value, visit: &mut impl FnMut(&mut Value)) {
    for place in ACTORS {
        each_at(document, place, visit);
    }
}

fn each_at(value: &mut Value, place: &[&str], visit: &mut impl FnMut(&mut Value)) {
    match (place, value) {
        ([], value) => visit(value),
        (["*", rest @ ..], Value::Array(values)) => values.iter_mut().for_each(|value| each_at(value, rest, visit)),
        ([name, rest @ ..], Value::Object(fields)) => {
            if let Some(value) = fields.get_mut(*name) {
                each_at(value, rest, visit);
            }
        }
        _ => {}
    }
}

/// A name as its first letter.
pub fn hidden(text: &str) -> String {
    text.chars().next().map(|first| format!("{first}•••")).unwrap_or_default()
}

/// A text with every address in it masked; one that is masked already stays as it is.
pub fn without_addresses(text: &str) -> String {
    let is_part = |c: char| c.is_alphanumeric() || matches!(c, '.' | '_' | '%' | '+' | '-' | '@' | '•');
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find(is_part) {
        let (before, word) = rest.split_at(start);
        let end = word.find(|c| !is_part(c)).unwrap_or(word.len());
        out.push_str(before);
        let word = &word[..end];
        out.push_str(&if word.contains('@') { email(word) } else { word.to_owned() });
        rest = &rest[start + end..];
    }
    out.push_str(rest);
    out
}

/// Text from outside without what could steer a terminal or turn a line around: control and bidirectional characters are
/// shown as `\u{…}`.
pub fn plain(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut out, c| {
        if steers(c) && c != '\n' {
            out.extend(c.escape_unicode());
        } else {
            out.push(c);
        }
        out
    })
}

/// The same of JSON, which stays what it is: there they stand within strings, and are escaped as JSON has it.
pub fn plain_json(json: &str) -> String {
    json.chars().fold(String::with_capacity(json.len()), |mut out, c| {
        if steers(c) && c != '\n' {
            let _ = write!(out, "\\u{:04x}", u32::from(c));
        } else {
            out.push(c);
        }
        out
    })
}

/// Whether it is a control or bidirectional character.
pub(super) fn steers(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    #[test]
    fn an_address_is_recognisable_and_not_readable() {
        assert_eq!(super::email("zoe@example.edu"), "z•••@e•••");
        assert_eq!(super::email(""), "•••");
    }

    #[test]
    fn people_are_masked_wherever_they_stand_and_nothing_else_is() {
        let mut document = json!({
            "customer_email": "zoe@example.edu", "amount": { "minor": 5 }, "session_id": "cs_1",
            "attendees": [{ "name": "Zoë", "email": "zoe@example.edu" }], "reason": "told zoe@example.edu, twice",
        });
        super::mask_people(&mut document);
        let text = document.to_string();
        assert!(!text.contains("example") && !text.contains("Zoë"), "{text}");
        assert!(text.contains("cs_1") && text.contains("twice"), "{text}");
        let masked = super::without_addresses("to zoe@example.edu");
        assert_eq!((masked.as_str(), super::without_addresses(&masked)), ("to z•••@e•••", masked.clone()));
    }
    #[test]
    fn who_acted_is_named_and_nobody_else_is() {
        let act = json!({ "actor": "mia@discuno.test", "subject": "pay_1", "reason": "told zoe@example.edu",
            "after": { "actor": "zoe@example.edu" } });
        let story = json!({ "acts": [act], "events": [{ "actor": "zoe@example.edu" }] });
        for document in [act.clone(), json!([act]), json!({ "acts": [act], "next": null }), story] {
            let mut masked = document.clone();
            super::mask_document(&mut masked);
            let text = masked.to_string();
            assert!(text.contains("mia@discuno.test") && !text.contains("example"), "{document}: {text}");
        }
    }
}
