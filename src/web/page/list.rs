//! Lists: conditions in the address, the newest rows first, a page at a time.

use std::fmt::{Display, Formatter};
use std::future::Future;

use askama::Template;
use askama::filters::HtmlSafe;
use axum::extract::State;
use axum::extract::rejection::QueryRejection;

use crate::observe::mask;
use crate::store::Shared;
use crate::store::error::Error as StoreError;
use crate::store::filter::{Filter, LOOK};
use crate::web::admin::Admin;
use crate::web::auth::Identity;
use crate::web::page::query::{More, Query};
use crate::web::page::{Failure, Page, Shell, text};
use crate::web::shown;

/// One kind of row.
pub(in crate::web) trait Listed: Sized + Send {
    /// The part of the site.
    const PART: &'static str;
    /// What the part is called.
    const TITLE: &'static str;
    /// Flags of the command that are called otherwise than the conditions.
    const FLAGS: &'static [(&'static str, &'static str)] = &[];
    /// What can be checked of all of it, where anything can.
    const CHECK: Option<&'static str> = None;
    /// The columns after the first, which holds the id.
    const COLUMNS: &'static [&'static str];
    /// What leads to all of it, where only some is shown without conditions.
    const ALL: &'static str = "";
    /// What the list can be asked for besides times and the payment.
    const FIELDS: &'static [Field];

    /// Our id.
    fn id(&self) -> String;

    /// The cells, one for each column.
    fn cells(self) -> Vec<Cell>;

    /// What is shown where nothing is asked for.
    fn settle(_: &mut Query) {}

    /// How many rows a search looks at.
    fn look(_: &Query) -> i64 {
        LOOK
    }

    /// Rows.
    fn fetch(store: &Shared, filter: Filter) -> impl Future<Output = Result<Vec<Self>, StoreError>> + Send;
}

/// Something that a list can be asked for.
pub(in crate::web) struct Field {
    /// As it stands in the address.
    pub(in crate::web) name: &'static str,
    pub(in crate::web) label: &'static str,
    pub(in crate::web) kind: Kind,
}

/// What a field takes.
pub(in crate::web) enum Kind {
    /// Text.
    Text,
    /// One of these words.
    One(fn() -> Vec<&'static str>),
    /// Yes or no.
    Check,
}

impl Field {
    pub(in crate::web) const fn text(name: &'static str, label: &'static str) -> Self {
        Self { name, label, kind: Kind::Text }
    }

    pub(in crate::web) const fn one(name: &'static str, label: &'static str, of: fn() -> Vec<&'static str>) -> Self {
        Self { name, label, kind: Kind::One(of) }
    }

    pub(in crate::web) const fn check(name: &'static str, label: &'static str) -> Self {
        Self { name, label, kind: Kind::Check }
    }
}

/// What stands in a cell.
pub(in crate::web) enum Cell {
    /// Nothing.
    None,
    /// One of our ids.
    Id(String),
    /// Where something stands.
    State(&'static str),
    /// A word or an amount; people's addresses in it are masked.
    Text(String),
    /// Somebody of the team, who is never masked.
    Team(String),
    /// A text, as long as it takes; people's addresses in it are masked.
    Wide(String),
    /// An amount.
    Number(String),
    /// A time.
    Time(shown::Time),
}

impl Cell {
    pub(in crate::web) fn id(id: Option<impl Display>) -> Self {
        id.map_or(Self::None, |id| Self::Id(id.to_string()))
    }

    pub(in crate::web) fn text(value: Option<impl Display>) -> Self {
        value.map_or(Self::None, |value| Self::Text(value.to_string()))
    }
}

impl Display for Cell {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::None => write!(f, "<td></td>"),
            Self::Id(id) => write!(f, "<td>{}</td>", shown::link(id)),
            Self::State(word) => write!(f, r#"<td><span class="state {word}">{word}</span></td>"#),
            Self::Text(value) => write!(f, "<td>{}</td>", shown::escaped(&text(value))),
            Self::Team(name) => write!(f, "<td>{}</td>", shown::escaped(&mask::plain(name))),
            Self::Wide(value) => write!(f, r#"<td class="wide">{}</td>"#, shown::escaped(&text(value))),
            Self::Number(value) => write!(f, r#"<td class="number">{}</td>"#, shown::escaped(value)),
            Self::Time(at) => write!(f, "<td>{at}</td>"),
        }
    }
}

impl HtmlSafe for Cell {}

#[derive(Template)]
#[template(path = "list.html")]
pub(in crate::web) struct ListPage {
    shell: Shell,
    query: Query,
    columns: &'static [&'static str],
    fields: &'static [Field],
    check: Option<&'static str>,
    all: &'static str,
    rows: Vec<(String, Vec<Cell>)>,
    more: Option<More>,
    command: String,
}

/// `GET /payments`, `/refunds`, …
pub(in crate::web) async fn list<L: Listed>(
    State(admin): State<Admin>,
    identity: Identity,
    query: Result<axum::extract::Query<Query>, QueryRejection>,
) -> Result<Page<ListPage>, Failure> {
    let axum::extract::Query(mut query) = query?;
    L::settle(&mut query);
    let mut filter = query.filter(&admin.store, admin.clock.now()).await?.for_role(identity.role);
    let newest = L::fetch(&admin.store, Filter::newest(1)).await?.first().map(L::id);
    let look = L::look(&query);
    query.bound(&mut filter, look, newest.as_deref())?;
    let rows: Vec<(String, Vec<Cell>)> =
        L::fetch(&admin.store, filter.clone()).await?.into_iter().map(|row| (row.id(), row.cells())).collect();
    let last = rows.last().map(|(id, _)| id.as_str());
    Ok(Page(ListPage {
        shell: Shell::new(&admin, &identity, L::PART, L::TITLE),
        columns: L::COLUMNS,
        fields: L::FIELDS,
        check: L::CHECK,
        all: L::ALL,
        more: query.more(&format!("/{}", L::PART), &filter, look, rows.len(), last),
        command: query.command_with(L::PART, L::FLAGS),
        rows,
        query,
    }))
}
