//! Putting a question to the servers, until one answers it.

use alloc::vec::Vec;
use core::net::SocketAddr;

use embedded_io_async::{Read, ReadExactError, Write};
use unik::interface::{ResolveError, StreamError, Tcp, UdpSocket};
use unik::time::{Duration, Instant, timeout_at};

use crate::client::Client;
use crate::message::{ALIASES, Answer, Heard, Kind, LARGEST, Question, Style};
use crate::name::Name;
use crate::{Network, Outcome};

/// How often all servers are asked.
const ROUNDS: u32 = 3;
/// Room for an answer; one byte more than asked for, so that what is cut off doesn't parse.
const ROOM: usize = LARGEST as usize + 1;
/// The longest answer that is taken over TCP.
const LARGEST_TCP: usize = 16 * 1024;
/// How many messages from the server's address may be wrong before the question is put anew.
const GUESSES: u32 = 32;

/// How long things may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// With one server, in the first round; twice as long in each one after it.
    pub first: Duration,
    /// With all of a lookup.
    pub all: Duration,
    /// With the other family, once one has addresses.
    pub other: Duration,
}

impl Patience {
    pub const USUAL: Patience = Patience {
        first: Duration::from_secs(1),
        all: Duration::from_secs(15),
        other: Duration::from_millis(300),
    };
}

/// Finds the addresses of `name`, and for how many seconds they are good.
pub(crate) async fn ask<N: Network>(
    client: &Client,
    net: &N,
    name: &Name,
    kind: Kind,
) -> (Outcome, Option<u32>) {
    let deadline = Instant::now() + client.patience().all;
    let mut name = name.clone();
    let mut least = u32::MAX;
    for _ in 0..ALIASES {
        let answer = match timeout_at(deadline, ask_servers(client, net, &name, kind)).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => return (Err(error), None),
            Err(_) => return (Err(ResolveError::TimedOut), None),
        };
        match answer {
            Answer::Addresses(addresses, seconds) => return (Ok(addresses), Some(seconds.min(least))),
            Answer::None(seconds) => {
                return (Err(ResolveError::NoName), seconds.map(|seconds| seconds.min(least)));
            }
            Answer::Alias(next, seconds) => (name, least) = (next, least.min(seconds)),
            // Failures don't come this far.
            Answer::Refused | Answer::NotExtended | Answer::Failed | Answer::Malformed => break,
        }
    }
    (Err(ResolveError::Malformed), None)
}

/// What became of one question to one server.
enum Said {
    Answer(Answer),
    /// Nothing in time.
    Nothing,
    /// It is to be asked once more, otherwise.
    Again,
}

/// Asks the servers in turn, until one answers; an answer that is a failure is the next one's turn.
async fn ask_servers<N: Network>(
    client: &Client,
    net: &N,
    name: &Name,
    kind: Kind,
) -> Result<Answer, ResolveError> {
    let mut error = ResolveError::NoServer;
    let mut patience = client.patience().first;
    for _ in 0..ROUNDS {
        let mut someone_may_answer = false;
        for server in client.servers() {
            let mut said = Said::Again;
            // Once more without what it doesn't know, once more in one case, once more from another port.
            for _ in 0..4 {
                let deadline = Instant::now() + patience;
                said = ask_one(client, net, server, name, kind, deadline).await?;
                if !matches!(said, Said::Again) {
                    break;
                }
            }
            let failure = match said {
                Said::Answer(Answer::Refused) => ResolveError::Refused,
                Said::Answer(Answer::Failed | Answer::NotExtended) => ResolveError::Failed,
                Said::Answer(Answer::Malformed) => {
                    client.count(|counters| counters.malformed += 1);
                    ResolveError::Malformed
                }
                Said::Answer(answer) => {
                    client.has_answered(server);
                    return Ok(answer);
                }
                Said::Nothing | Said::Again => {
                    client.count(|counters| counters.unanswered += 1);
                    someone_may_answer = true;
                    ResolveError::TimedOut
                }
            };
            // What a server said tells more than what it didn't.
            if failure != ResolveError::TimedOut || error == ResolveError::NoServer {
                error = failure;
            }
        }
        // Who has said no says so again.
        if !someone_may_answer {
            break;
        }
        patience *= 2;
    }
    Err(error)
}

/// Puts the question to one server, from a port of its own.
async fn ask_one<N: Network>(
    client: &Client,
    net: &N,
    server: SocketAddr,
    name: &Name,
    kind: Kind,
    deadline: Instant,
) -> Result<Said, ResolveError> {
    let style = client.style(server);
    let (Some(one), Some(other)) = (net.random(), net.random()) else { return Err(ResolveError::Resources) };
    let question = Question::new(name, kind, style, [one, other]);
    client.count(|counters| counters.questions += 1);
    let heard = {
        let mut socket = net.bind().map_err(|_| ResolveError::Resources)?;
        let mut buffer = Vec::new();
        buffer.try_reserve_exact(ROOM).map_err(|_| ResolveError::Resources)?;
        buffer.resize(ROOM, 0);
        timeout_at(deadline, hear(client, &mut socket, &question, server, &mut buffer)).await
    };
    let Ok(Some(heard)) = heard else { return Ok(Said::Nothing) };
    match heard {
        Heard::Stranger => {
            client.count(|counters| counters.guessed += 1);
            Ok(Said::Again)
        }
        Heard::OtherCase => {
            client.set_style(server, Style { mixed: false, ..style });
            Ok(Said::Again)
        }
        Heard::Answer { answer: Answer::NotExtended, .. } if style.extended => {
            client.set_style(server, Style { extended: false, ..style });
            Ok(Said::Again)
        }
        Heard::Answer { answer, is_cut: false } => Ok(Said::Answer(answer)),
        Heard::Answer { answer, is_cut: true } => {
            client.count(|counters| {
                counters.cut += 1;
                counters.questions += 1;
            });
            let deadline = deadline.max(Instant::now() + client.patience().first);
            let whole = timeout_at(deadline, net.ask_over_tcp(server, question.message())).await;
            if let Ok(Some(whole)) = whole
                && let Heard::Answer { answer, .. } = question.hear(&whole)
            {
                return Ok(Said::Answer(answer));
            }
            // Some addresses are as good as all of them, but not for long.
            Ok(Said::Answer(match answer {
                Answer::Addresses(addresses, _) => Answer::Addresses(addresses, 0),
                _ => Answer::Malformed,
            }))
        }
    }
}

/// Sends the question, and waits for what answers it; a stranger's message if there were too many of
/// them, nothing if it can't be sent.
async fn hear(
    client: &Client,
    socket: &mut impl UdpSocket,
    question: &Question<'_>,
    to: SocketAddr,
    buffer: &mut [u8],
) -> Option<Heard> {
    socket.send(question.message(), to).await.ok()?;
    let mut guesses = 0;
    loop {
        let (length, from) = socket.receive(buffer).await;
        let heard = if from == to { question.hear(&buffer[..length]) } else { Heard::Stranger };
        if heard != Heard::Stranger {
            return Some(heard);
        }
        client.count(|counters| counters.strangers += 1);
        guesses += u32::from(from == to);
        if guesses >= GUESSES {
            return Some(Heard::Stranger);
        }
    }
}

/// Asks `server` over TCP (RFC 7766); `None` if that comes to nothing.
pub async fn over_tcp(net: &impl Tcp, server: SocketAddr, question: &[u8]) -> Option<Vec<u8>> {
    let mut stream = net.connect(server).await.ok()?;
    let length = u16::try_from(question.len()).ok()?;
    let mut message = Vec::with_capacity(2 + question.len());
    message.extend(length.to_be_bytes());
    message.extend(question);
    stream.write_all(&message).await.ok()?;
    let mut length = [0; 2];
    let exact = |read: Result<(), ReadExactError<StreamError>>| read.ok();
    exact(stream.read_exact(&mut length).await)?;
    let length = Some(usize::from(u16::from_be_bytes(length))).filter(|length| *length <= LARGEST_TCP)?;
    let mut answer = Vec::new();
    answer.try_reserve_exact(length).ok()?;
    answer.resize(length, 0);
    exact(stream.read_exact(&mut answer).await)?;
    // All is said: the reset that ends the connection leaves nothing behind at either end.
    Some(answer)
}
