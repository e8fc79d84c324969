//! `discuno logs`: searches the log.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::time::Duration;

use discuno::config::Config;
use discuno::logs::asked::Asked;
use discuno::logs::count::By;
use discuno::logs::follow::Follow;
use discuno::logs::index::{self, Index};
use discuno::logs::query::Query;
use discuno::logs::scan::{Report, Search, Sink, Want, scan};
use discuno::logs::source::{Blocks, FileBlocks, Source, with_rotated};
use discuno::ops::when::between;
use serde_json::json;

use crate::exit::{self, Exit, Usage};
use crate::logs::context::Context;
use crate::logs::pager::Out;
use crate::logs::render::{Fields, Form, Render};
use crate::output;
use crate::runtime::now;

mod context;
mod pager;
mod render;

/// Search the log files, fast and by what the lines mean
///
/// Conditions are joined by and; a comma means or. A line matches when it is one whole JSON object whose top-level keys have the
/// values; one of more than 8 MiB is searched up to there. Without a file the one of DISCUNO_LOG_FILE is read, with those it was rotated to.
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  discuno logs --level error+ --since 2h\n  discuno logs event=refund_failed code!=timeout\n  \
    discuno logs --payment pay_7 -f\n  discuno logs 'error~=^stripe' --count-by day,event\n  zcat old.gz | discuno logs --file - slot_taken\n\n\
    Exit status: 0 something was found · 1 nothing was · 2 something could not be read"
)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub(crate) struct Args {
    /// key=value, key=a,b, key!=value, key~=pattern, or a text that has to be in the line
    #[arg(value_name = "CONDITION")]
    words: Vec<String>,
    /// Read this file; several are read one after the other; - is standard input; .gz and .zst are unpacked
    #[arg(long, value_name = "FILE")]
    file: Vec<PathBuf>,
    /// Of these events
    #[arg(long, value_name = "NAME")]
    event: Option<String>,
    /// With these tags
    #[arg(long, value_name = "NAME")]
    tag: Option<String>,
    /// debug, info, warn, error, critical; error+ means error and above
    #[arg(long, short, value_name = "LEVEL")]
    level: Option<String>,
    /// Of a run
    #[arg(long, value_name = "ID")]
    run: Option<String>,
    /// Of a payment: pay_… or pi_…
    #[arg(long, value_name = "ID")]
    payment: Option<String>,
    /// Of a checkout session
    #[arg(long, value_name = "ID")]
    session: Option<String>,
    /// From then on: 30m, 2h, yesterday, a date, an instant
    #[arg(long, value_name = "WHEN")]
    since: Option<String>,
    /// Until then
    #[arg(long, value_name = "WHEN")]
    until: Option<String>,
    /// A pattern that has to be in the line
    #[arg(long, short = 'e', value_name = "PATTERN")]
    regex: Vec<String>,
    /// Lines that do not match
    #[arg(long, short = 'v')]
    invert: bool,
    /// Lines that are no JSON object
    #[arg(long)]
    malformed: bool,
    /// Only how many
    #[arg(long, short, conflicts_with_all = ["count_by", "follow", "tail"])]
    count: bool,
    /// How many by the values of keys, with commas between; day and hour are those of the line's time, UTC
    #[arg(long, value_name = "KEYS", value_delimiter = ',', conflicts_with_all = ["follow", "tail"])]
    count_by: Vec<String>,
    /// With so many lines after each
    #[arg(long, short = 'A', value_name = "N")]
    after: Option<usize>,
    /// With so many lines before each
    #[arg(long, short = 'B', value_name = "N")]
    before: Option<usize>,
    /// With so many lines before and after each
    #[arg(long, short = 'C', value_name = "N")]
    context: Option<usize>,
    /// The last so many
    #[arg(long, short = 'n', value_name = "N")]
    tail: Option<usize>,
    /// Go on with what is appended, through rotation
    #[arg(long, short, conflicts_with_all = ["after", "before", "context"])]
    follow: bool,
    /// Lines as they are written
    #[arg(long, conflicts_with = "json")]
    raw: bool,
    /// JSON on a terminal too; counts as one document
    #[arg(long)]
    json: bool,
    /// Without these keys
    #[arg(long, value_name = "KEYS", value_delimiter = ',')]
    hide: Vec<String>,
    /// With these keys alone
    #[arg(long, value_name = "KEYS", value_delimiter = ',', conflicts_with = "hide")]
    only: Vec<String>,
    /// auto, always, never
    #[arg(long, value_name = "WHEN", default_value = "auto", value_parser = ["auto", "always", "never"])]
    color: String,
    /// Times as they are written and not of this machine's zone
    #[arg(long)]
    utc: bool,
    /// No pager
    #[arg(long, short = 'P')]
    no_pager: bool,
    /// Read large files whole
    #[arg(long)]
    no_index: bool,
}

/// How often an open file is looked at.
const LOOK: Duration = Duration::from_millis(100);

pub(crate) fn run(args: &Args) -> anyhow::Result<Exit> {
    match search(args) {
        Err(error) => {
            exit::tell(2, exit::code(&error), &format!("{error:#}"));
            Ok(Exit::Unreadable)
        }
        outcome => outcome,
    }
}

fn search(args: &Args) -> anyhow::Result<Exit> {
    let (mut query, sources) = (args.query()?, args.sources()?);
    let want = args.want(&mut query);
    let mut job = Job { args, query, want, report: Report::default(), unread: Vec::new() };
    let mut seen_enough = false;
    if matches!(job.want, Want::Lines) {
        seen_enough = match job.lines(&sources) {
            Err(error) if is_of_a_closed_pipe(&error) => true,
            read => read.map(|()| false)?,
        };
    } else {
        job.read(&sources, &mut |_| Ok(true))?;
        job.print_counts()?;
    }
    job.tell_malformed();
    if !job.unread.is_empty() && exit::wants_documents() {
        exit::tell(2, "failed", &job.unread.join("; "));
    }
    Ok(match (job.unread.is_empty(), job.report.matched) {
        (false, _) => Exit::Unreadable,
        (true, 0) if !seen_enough => Exit::Unmatched,
        (true, _) => Exit::Done,
    })
}

/// Whoever reads what is found has seen enough of it.
fn is_of_a_closed_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

impl Args {
    fn query(&self) -> anyhow::Result<Query> {
        let (since, until) = between(self.since.as_deref(), self.until.as_deref(), now())?;
        let asked = Asked {
            words: self.words.clone(),
            event: self.event.clone(),
            tag: self.tag.clone(),
            level: self.level.clone(),
            run: self.run.clone(),
            payment: self.payment.clone(),
            session: self.session.clone(),
            since,
            until,
            patterns: self.regex.clone(),
            invert: self.invert,
            malformed: self.malformed,
        };
        Ok(asked.query().map_err(|error| Usage(error.to_string()))?)
    }

    /// How many lines are shown before and after each that matches.
    fn around(&self) -> (usize, usize) {
        (self.before.or(self.context).unwrap_or(0), self.after.or(self.context).unwrap_or(0))
    }

    fn want(&self, query: &mut Query) -> Want {
        if self.count_by.is_empty() {
            return if self.count { Want::Count } else { Want::Lines };
        }
        let by = self.count_by.iter().map(|key| match key.as_str() {
            "day" => By::Day,
            "hour" => By::Hour,
            key => By::Key(query.key(key)),
        });
        let by = by.collect();
        Want::Groups(by, query.key("ts"))
    }

    fn sources(&self) -> anyhow::Result<Vec<Source>> {
        if !self.file.is_empty() {
            let source =
                |path: &PathBuf| if path.as_os_str() == "-" { Source::Stdin } else { Source::File(path.clone()) };
            return Ok(self.file.iter().map(source).collect());
        }
        let config = Config::from_environment(&std::collections::BTreeMap::new())?;
        match config.log_file {
            Some(path) if self.follow => Ok(vec![Source::File(path)]),
            Some(path) => Ok(with_rotated(&path).into_iter().map(Source::File).collect()),
            None if !io::stdin().is_terminal() => Ok(vec![Source::Stdin]),
            None => Err(Usage("which log? set DISCUNO_LOG_FILE, or name one with --file".to_owned()).into()),
        }
    }

    fn render(&self) -> Render {
        let terminal = output::is_terminal();
        let form = match (self.raw, self.json, terminal) {
            (true, ..) | (_, false, false) => Form::Raw,
            (_, true, _) => Form::Json,
            (false, false, true) => Form::People,
        };
        let colour = match self.color.as_str() {
            "always" => true,
            "never" => false,
            _ => terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()),
        };
        let fields = match (self.only.as_slice(), self.hide.as_slice()) {
            ([], []) => Fields::All,
            ([], hide) => Fields::Without(hide.to_vec()),
            (only, _) => Fields::Only(only.to_vec()),
        };
        Render { form, colour, terminal, fields, utc: self.utc }
    }
}

/// A search under way.
struct Job<'a> {
    args: &'a Args,
    query: Query,
    want: Want,
    report: Report,
    /// Sources that could not be read, and why.
    unread: Vec<String>,
}

impl Job<'_> {
    /// Prints what matches, from every source and then as it comes.
    fn lines(&mut self, sources: &[Source]) -> anyhow::Result<()> {
        let args = self.args;
        let paged = output::is_terminal() && !args.follow && !args.no_pager;
        let at_once = args.follow || !sources.iter().all(Source::is_at_hand);
        let mut out = Out::open(paged, at_once);
        let render = args.render();
        let mut follow = match (args.follow, sources) {
            (false, _) => None,
            (true, [source]) if source.is_packed() => {
                return Err(Usage("--follow: nothing is appended to a file that is compressed".to_owned()).into());
            }
            (true, [Source::File(path)]) => {
                if !path.exists() {
                    output::note(&format!("discuno: {} is not there yet: waiting for it", path.display()));
                }
                Some(Follow::from_end(path)?)
            }
            (true, _) => return Err(Usage("--follow takes one file".to_owned()).into()),
        };
        let mut last = args.tail.or(args.follow.then_some(10)).map(Last::new);
        let mut write = |found: &[u8]| -> io::Result<bool> {
            match &mut last {
                Some(last) => last.keep(found),
                None => out.write(&render.lines(found))?,
            }
            Ok(true)
        };
        if let (Some(follow), [source]) = (&follow, sources) {
            if let Some(before) = follow.before()? {
                let report = scan(&before, &self.query, &self.want, &mut write)?;
                self.take(source, report);
            }
        } else {
            self.read(sources, &mut write)?;
        }
        if let Some(last) = last {
            out.write(&render.lines(&last.all()))?;
        }
        out.flush()?;
        while let Some(follow) = &mut follow {
            let found = Search::new(&self.query, &self.want).search(&follow.poll()?);
            out.write(&render.lines(&found))?;
            std::thread::sleep(LOOK);
        }
        out.close();
        Ok(())
    }

    /// Reads each source. A log and what it was before are all opened before the first is read: while a person leafs through that, they
    /// may be given other names.
    fn read(&mut self, sources: &[Source], sink: &mut Sink<'_>) -> anyhow::Result<()> {
        let together = if self.args.file.is_empty() { sources } else { &[] };
        let mut opened = together.iter().map(|source| self.open(source)).collect::<Vec<_>>().into_iter();
        for source in sources {
            let Some(blocks) = opened.next().unwrap_or_else(|| self.open(source)) else { continue };
            let report = match self.args.around() {
                (0, 0) => scan(blocks.as_ref(), &self.query, &self.want, sink)?,
                // They are read one after the other.
                around => Context::new(&self.query, around).read(blocks.as_ref(), sink)?,
            };
            self.take(source, report);
        }
        Ok(())
    }

    /// Takes over what was found in a source, and tells of what could not be read of it.
    fn take(&mut self, source: &Source, mut report: Report) {
        if let Some(error) = report.unread.take() {
            self.could_not(source, &error);
        }
        self.report.merge(report);
    }

    /// A source as blocks; none, and a message, where it cannot be opened.
    fn open(&mut self, source: &Source) -> Option<Box<dyn Blocks>> {
        let opened = match self.indexed(source).filter(|_| self.args.around() == (0, 0)) {
            Some(blocks) => Ok(blocks),
            None => source.open(),
        };
        opened.map_err(|error| self.could_not(source, &error)).ok()
    }

    fn could_not(&mut self, source: &Source, error: &io::Error) {
        let name = match source {
            Source::File(path) => path.display().to_string(),
            Source::Stdin => "standard input".to_owned(),
        };
        let said = format!("could not read {name}: {error}");
        // Who reads documents is told once, at the end.
        if self.args.follow || !exit::wants_documents() {
            output::note(&format!("discuno: {said}"));
        }
        self.unread.push(said);
    }

    /// Only the parts of a large file that may hold the span of time that is asked for.
    fn indexed(&self, source: &Source) -> Option<Box<dyn Blocks>> {
        let (Source::File(path), Some((since, until)), false) = (source, self.query.span(), self.args.no_index) else {
            return None;
        };
        if source.is_packed() {
            return None;
        }
        let file = File::open(path).ok()?;
        let meta = file.metadata().ok().filter(|meta| meta.is_file() && meta.len() >= index::WORTHWHILE)?;
        let folder = index::folder(|name| std::env::var_os(name).map(PathBuf::from))?;
        let index = Index::of(&file, &folder).ok()?;
        Some(Box::new(FileBlocks::of(file, index.spans(since, until, meta.len())).ok()?))
    }

    fn print_counts(&self) -> anyhow::Result<()> {
        let Want::Groups(..) = self.want else { return Ok(output::line(&self.report.matched.to_string())?) };
        if self.args.json {
            let groups = self.report.counts.sorted().into_iter();
            let groups =
                groups.map(|(group, lines)| json!({ "values": group.split('\t').collect::<Vec<_>>(), "lines": lines }));
            return output::document(&json!({ "by": self.args.count_by, "counts": groups.collect::<Vec<_>>() }));
        }
        let mut columns: Vec<&str> = self.args.count_by.iter().map(String::as_str).collect();
        columns.push("lines");
        let mut table = output::Table::of(&columns);
        for (group, count) in self.report.counts.sorted() {
            table.push(group.split('\t').map(str::to_owned).chain([count.to_string()]).collect());
        }
        Ok(table.print()?)
    }

    fn tell_malformed(&self) {
        if self.report.malformed > 0 && !self.args.malformed {
            let lines = if self.report.malformed == 1 { "line is" } else { "lines are" };
            output::note(&format!("{} {lines} not JSON: --malformed shows them", self.report.malformed));
        }
    }
}

/// The last lines of all that come.
struct Last {
    most: usize,
    lines: VecDeque<Vec<u8>>,
}

impl Last {
    fn new(most: usize) -> Self {
        Self { most, lines: VecDeque::new() }
    }

    fn keep(&mut self, found: &[u8]) {
        for line in found.split_inclusive(|byte| *byte == b'\n') {
            self.lines.push_back(line.to_vec());
            if self.lines.len() > self.most {
                self.lines.pop_front();
            }
        }
    }

    fn all(self) -> Vec<u8> {
        self.lines.into_iter().flatten().collect()
    }
}
