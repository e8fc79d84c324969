//! One HTTP/1.1 exchange on a connection of its own, in steps that a test can stop between.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;

/// Longer than any answer takes, so that a lost one ends the test and not the patience of who runs it.
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }
}

pub(crate) fn get(to: SocketAddr, path: &str) -> io::Result<Answer> {
    get_with(to, path, &[])
}

pub(crate) fn get_with(to: SocketAddr, path: &str, headers: &[(&str, &str)]) -> io::Result<Answer> {
    let mut exchange = Exchange::open(to)?;
    let headers: Vec<String> = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let headers = headers.concat();
    exchange.send(format!("GET {path} HTTP/1.1\r\nhost: discuno\r\nconnection: close\r\n{headers}\r\n").as_bytes())?;
    exchange.answer()
}

pub(crate) fn post(to: SocketAddr, path: &str, headers: &[(&str, &str)], body: &[u8]) -> io::Result<Answer> {
    let mut exchange = Exchange::open(to)?;
    exchange.head(path, headers, body.len())?;
    exchange.send(body)?;
    exchange.answer()
}

pub(crate) struct Exchange(BufReader<TcpStream>);

impl Exchange {
    pub(crate) fn open(to: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&to, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self(BufReader::new(stream)))
    }

    /// Sends the head of a POST.
    pub(crate) fn head(&mut self, path: &str, headers: &[(&str, &str)], length: usize) -> io::Result<()> {
        let mut head =
            format!("POST {path} HTTP/1.1\r\nhost: discuno\r\nconnection: close\r\ncontent-length: {length}\r\n");
        for (name, value) in headers {
            head.extend([name, ": ", value, "\r\n"]);
        }
        head.push_str("\r\n");
        self.send(head.as_bytes())
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.get_mut().write_all(bytes)
    }

    /// Reads one answer; after an interim one the next is still to come.
    pub(crate) fn answer(&mut self) -> io::Result<Answer> {
        let first = self.line()?;
        let status = first.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status = status.ok_or_else(|| io::Error::other(format!("no HTTP: {first:?}")))?;
        let mut headers = Vec::new();
        loop {
            let line = self.line()?;
            let Some((name, value)) = line.split_once(':') else { break };
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        let mut answer = Answer { status, headers, body: Vec::new() };
        let length = answer.header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
        answer.body.resize(length, 0);
        self.0.read_exact(&mut answer.body)?;
        Ok(answer)
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        if self.0.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(line.trim_end().to_owned())
    }
}
