//! The daemon's shell: it moves bytes, time and interrupts between the world and the core, and decides nothing.
//!
//! One turn of the loop: wait; read the clock; what is due; interrupts; new peers; what peers said, interrupts in
//! between; what they are told; what is likely next. After every input that the core takes, all its outputs are carried out before the next one
//! (`Server::settle`). Nothing in a turn waits: not for a peer, not for the device, not for the log.

mod clock;
mod connection;
#[cfg(test)]
mod connection_tests;
mod files;
mod guards;
mod hands;
mod imports;
mod irq;
mod listener;
mod log;
mod notes;
mod outbox;
mod peers;
mod plan;
mod policy;
mod recheck;
pub mod ring;
mod signal;
mod startup;
mod summary;
mod turn;

pub use listener::{ListenError, Listener, SocketLock};
pub use log::{LinesLost, logger};
pub use policy::{Machine, broker_config};
pub use startup::{Encoder, Shell, StartError, run, serve};

use crate::core::event::{Input, SessionKey};
use crate::core::time::Micros;
use crate::core::{Broker, ShellCounters};
use crate::device::Device;
use crate::driver::{Engine, IrqVerdict, SpuriousCause};
use crate::limits::{EVENTS_PER_TURN_MAX, FAREWELL_TIMEOUT_US, REQUESTS_PER_TURN_MAX};
use avpu_proto::version::{ClientHello, DaemonHello};
use connection::{ControlBuffer, Fault, Incoming};
use hands::Holdings;
use imports::Imports;
use irq::{Interrupt, Interrupts};
use log::RateLimit;
use mio::event::Event;
use mio::{Events, Poll, Token};
use peers::{Accepted, Peers, Said};
use recheck::Recheck;
use signal::Signals;
use slog::{Logger, debug, error, info, warn};
use std::io;
use std::time::Duration;
use turn::Order;

const TOKEN_LISTENER: Token = Token(0);
const TOKEN_INTERRUPT: Token = Token(1);
const TOKEN_STOP: Token = Token(2);
const TOKEN_HANGUP: Token = Token(3);
const TOKEN_RECHECK: Token = Token(4);

/// How the daemon ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It was told to, and everything was finished.
    Done,
    /// It was told to a second time and left at once.
    Cut,
    /// The encoder cannot be brought back by this process.
    Restart,
}

/// The daemon, running.
pub struct Server<D> {
    poll: Poll,
    listener: Listener,
    signals: Signals,
    interrupts: Interrupts,
    broker: Broker,
    engine: Engine<D>,
    holdings: Holdings,
    imports: Imports,
    peers: Peers,
    order: Order,
    control: ControlBuffer,
    log: Logger,
    lines_lost: LinesLost,
    rate: RateLimit,
    /// Of what clients may cause as often as they like.
    chatter: RateLimit,
    /// Of requests that are refused for want of a right or at a limit.
    refusals: RateLimit,
    expelled: u32,
    /// Sessions that ended and of which the core is to be told.
    departed: Vec<SessionKey>,
    now: Micros,
    recheck: Recheck,
    stops: usize,
    end: Option<End>,
}

impl<D: Device> Server<D> {
    /// Serves until it is told to stop or the encoder is gone.
    ///
    /// # Errors
    /// When the kernel does not let it wait.
    pub fn serve(mut self) -> io::Result<End> {
        let mut events = Events::with_capacity(EVENTS_PER_TURN_MAX);
        while self.end.is_none() {
            self.turn(&mut events)?;
        }
        let end = self.end.unwrap_or(End::Done);
        if end == End::Done {
            self.see_off(&mut events)?;
        }
        self.close();
        Ok(end)
    }

    fn turn(&mut self, events: &mut Events) -> io::Result<()> {
        self.wait(events)?;
        self.now = clock::now();
        self.broker.record_shell(ShellCounters {
            log_lines_lost: self.lines_lost.count(),
            clients_expelled: self.expelled,
            copied_bytes: self.holdings.copied_bytes(),
        });
        for event in &*events {
            self.note(event);
        }
        self.take_interrupts();
        if self.recheck.is_due(self.engine.in_flight())
            && let Some(completion) = self.engine.poll_completion()
        {
            self.job_done(completion);
            self.settle();
        }
        if self.broker.poll_timeout().is_some_and(|at| at <= self.now) {
            self.broker.handle_timeout(self.now);
            self.settle();
        }
        self.accept();
        for slot in self.order.begin(self.peers.slots()) {
            self.hear(SessionKey::new(slot));
            // The encoder does not wait until everybody was heard.
            self.take_interrupts();
        }
        self.speak();
        self.broker.look_ahead(self.now);
        self.settle();
        Ok(())
    }

    fn wait(&mut self, events: &mut Events) -> io::Result<()> {
        let next = [self.broker.poll_timeout(), self.peers.deadline()];
        let timeout = if self.peers.has_work() {
            Some(Duration::ZERO)
        } else {
            let next = next.into_iter().flatten().min();
            next.map(|at| Duration::from_micros(at.since_us(clock::now())))
        };
        match self.poll.poll(events, timeout) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(()),
            polled => polled,
        }
    }

    fn note(&mut self, event: &Event) {
        match event.token() {
            TOKEN_LISTENER => self.peers.note_waiting(),
            TOKEN_INTERRUPT | TOKEN_RECHECK => {}
            TOKEN_STOP => self.stop(),
            TOKEN_HANGUP => {
                if signal::count(&mut self.signals.hangup) > 0 {
                    info!(
                        self.log,
                        "the settings are read at the start only: restart to change them"
                    );
                }
            }
            token => {
                let entry = Peers::key(token).and_then(|key| self.peers.get(key));
                if let Some(entry) = entry {
                    let connection = &mut entry.connection;
                    connection.note_ready(event.is_readable(), event.is_writable());
                    if event.is_error() || event.is_read_closed() {
                        connection.note_ending();
                    }
                }
            }
        }
    }

    fn stop(&mut self) {
        let before = self.stops;
        self.stops = before.saturating_add(signal::count(&mut self.signals.stop));
        if self.stops >= 2 {
            warn!(self.log, "told to stop twice: leaving at once");
            self.end = Some(End::Cut);
        } else if self.stops > before {
            info!(self.log, "told to stop: finishing what is in the encoder");
            self.feed(Input::Shutdown);
        }
    }

    /// Gives the core one input and carries out all that follows.
    fn feed(&mut self, input: Input) {
        self.broker.handle(self.now, input);
        self.settle();
    }

    fn take_interrupts(&mut self) {
        while let Some(interrupt) = self.interrupts.next() {
            self.now = clock::now();
            let line = match interrupt {
                Interrupt::Line(line) => line,
                Interrupt::Failed(cause) => {
                    error!(self.log, "no interrupts any more"; "cause" => %cause);
                    self.end = Some(End::Restart);
                    return;
                }
            };
            match self.engine.on_irq(line) {
                IrqVerdict::Completed(completion) => {
                    self.job_done(completion);
                    self.settle();
                    self.pass_remarks_on();
                }
                IrqVerdict::Spurious(cause) => {
                    if cause == SpuriousCause::NotWritten {
                        self.look_again();
                    }
                    if let Some(suppressed) = self.rate.allow(self.now) {
                        debug!(self.log, "interrupt without a completion";
                            "cause" => ?cause, "suppressed" => suppressed);
                    }
                    self.feed(Input::SpuriousInterrupt);
                }
                IrqVerdict::Foreign(_) => {}
            }
        }
    }

    /// Logs what the device noticed.
    fn pass_remarks_on(&mut self) {
        while let Some(remark) = self.engine.device().take_remark() {
            if let Some(suppressed) = self.rate.allow(self.now) {
                warn!(self.log, "the device noticed something";
                    "remark" => remark, "suppressed" => suppressed);
            }
        }
    }

    /// An interrupt came before the write-back of the picture in flight.
    fn look_again(&mut self) {
        if let Some(job) = self.engine.in_flight()
            && let Err(cause) = self.recheck.watch(job)
            && let Some(suppressed) = self.rate.allow(self.now)
        {
            warn!(self.log, "a picture cannot be looked for again";
                "cause" => %cause, "suppressed" => suppressed);
        }
    }

    fn accept(&mut self) {
        for _ in 0..self.peers.accepts_left() {
            let registry = self.poll.registry();
            match self.peers.accept(&self.listener.socket, registry, self.now) {
                Accepted::One => {}
                Accepted::InPlaceOf(peer) => {
                    self.expelled = self.expelled.saturating_add(1);
                    if let Some(suppressed) = self.rate.allow(self.now) {
                        warn!(self.log, "a connection without a hello gave way"; "pid" => peer.pid,
                            "uid" => peer.uid, "suppressed" => suppressed);
                    }
                }
                Accepted::TurnedBack(peer, reason) => self.record_turned_away(peer, reason),
                Accepted::Failed(cause) => {
                    if let Some(suppressed) = self.rate.allow(self.now) {
                        warn!(self.log, "a connection could not be made";
                            "cause" => %cause, "suppressed" => suppressed);
                    }
                }
                Accepted::Nobody => return,
            }
        }
    }

    /// Takes in what one peer said: a bounded number of requests, so that the others are heard too.
    fn hear(&mut self, key: SessionKey) {
        for _ in 0..REQUESTS_PER_TURN_MAX {
            let Some(entry) = self.peers.get(key) else {
                return;
            };
            match entry.connection.receive(&mut self.control) {
                Ok(None) => return,
                Ok(Some(Incoming::Hello(hello))) => self.greet(key, hello),
                Ok(Some(Incoming::Request { id, body })) => {
                    if !self.order.takes(key.value(), body.as_ref()) {
                        entry.connection.put_back(id, body);
                        return;
                    }
                    let session = key;
                    self.feed(Input::Request { session, id, body });
                }
                Err(fault) => {
                    self.expel(key, &fault);
                    self.settle();
                    return;
                }
            }
        }
    }

    fn greet(&mut self, key: SessionKey, hello: ClientHello) {
        let now = self.now;
        let Some(entry) = self.peers.get(key) else {
            return;
        };
        let answer = hello.answer();
        if let DaemonHello::Refused { .. } = answer {
            entry.turn_away(answer, now);
            return;
        }
        let peer = entry.connection.peer();
        entry.in_core = true;
        self.feed(Input::Opened { session: key, peer });
        if let Some(entry) = self.peers.get(key)
            && entry.is_open()
        {
            entry.welcome(answer);
            debug!(self.log, "connected"; "pid" => peer.pid, "uid" => peer.uid, "gid" => peer.gid);
        }
    }

    /// Ends a connection because of `fault`, telling the peer where that makes sense. The core hears of it in the next
    /// `Server::settle`.
    fn expel(&mut self, key: SessionKey, fault: &Fault) {
        let now = self.now;
        let Some(entry) = self.peers.get(key) else {
            return;
        };
        entry.refuse(fault, now);
        let was_served = core::mem::take(&mut entry.in_core);
        if was_served {
            self.departed.push(key);
        }
        let peer = entry.connection.peer();
        if fault.is_misbehaviour() {
            self.expelled = self.expelled.saturating_add(1);
            if let Some(suppressed) = self.rate.allow(now) {
                warn!(self.log, "closing a connection"; "pid" => peer.pid, "uid" => peer.uid,
                    "cause" => %fault, "suppressed" => suppressed);
            }
        } else if was_served {
            debug!(self.log, "disconnected"; "pid" => peer.pid);
        }
    }

    /// Writes what waits, and closes what is to be closed.
    fn speak(&mut self) {
        let now = self.now;
        for key in self.peers.keys() {
            let Some(entry) = self.peers.get(key) else {
                continue;
            };
            let said = entry.say(now).and_then(|said| {
                let connection = &mut entry.connection;
                let watched = connection.watch_room(self.poll.registry(), Peers::token(key));
                watched.map(|()| said).map_err(Fault::Io)
            });
            match said {
                Ok(Said::GoesOn) => continue,
                Ok(Said::Over) => {}
                Err(fault) => self.expel(key, &fault),
            }
            self.settle();
            self.peers.remove_if_over(key);
        }
    }

    /// Everything is finished: lets peers read what they were told, for a moment.
    fn see_off(&mut self, events: &mut Events) -> io::Result<()> {
        let last = clock::now().plus_us(FAREWELL_TIMEOUT_US);
        self.now = clock::now();
        self.speak();
        while self.peers.any_leaving() && self.now < last && self.stops < 2 {
            let left = Duration::from_micros(last.since_us(self.now));
            match self.poll.poll(events, Some(left)) {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
                _ => {}
            }
            self.now = clock::now();
            for event in &*events {
                if event.token() == TOKEN_STOP {
                    self.stops = self
                        .stops
                        .saturating_add(signal::count(&mut self.signals.stop));
                } else {
                    self.note(event);
                }
            }
            self.speak();
        }
        Ok(())
    }

    /// Leaves the encoder quiet; then the thread that waits for it ends, then the device is closed.
    fn close(self) {
        let Self {
            interrupts,
            mut engine,
            log,
            ..
        } = self;
        if let Err(cause) = engine.shut_down().result {
            warn!(log, "the encoder was not left quiet"; "cause" => %cause);
        }
        while let Some(remark) = engine.device().take_remark() {
            warn!(log, "the device noticed something"; "remark" => remark);
        }
        if let Some(summary) = engine.device().summary() {
            info!(log, "what the device counted"; "summary" => summary);
        }
        drop(interrupts);
        drop(engine);
        info!(log, "ended");
    }
}
