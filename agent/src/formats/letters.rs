//! Where the values of the register hold their documents.

use relight_core::ledger::acceptor::{Ask, Record, Reply, Request, Said, Vote};

use super::{Beside, Holds};

impl<D> Holds<D> for Vote<D> {
    type With<E: Beside> = Vote<E>;

    fn convert<E: Beside, X>(self, change: impl Fn(D) -> Result<E, X>) -> Result<Vote<E>, X> {
        let Self { ballot, value } = self;
        Ok(Vote { ballot, value: change(value)? })
    }
}

impl<D> Holds<D> for Record<D> {
    type With<E: Beside> = Record<E>;

    fn convert<E: Beside, X>(self, change: impl Fn(D) -> Result<E, X>) -> Result<Record<E>, X> {
        let Self { id, cluster, promised, accepted, counter } = self;
        let accepted = accepted.map(|vote| vote.convert(change)).transpose()?;
        Ok(Record { id, cluster, promised, accepted, counter })
    }
}

impl<D> Holds<D> for Request<D> {
    type With<E: Beside> = Request<E>;

    fn convert<E: Beside, X>(self, change: impl Fn(D) -> Result<E, X>) -> Result<Request<E>, X> {
        let Self { to, stamp, ballot, ask } = self;
        let ask = match ask {
            Ask::Prepare => Ask::Prepare,
            Ask::Accept { basis, value } => Ask::Accept { basis, value: change(value)? },
            Ask::Peek => Ask::Peek,
        };
        Ok(Request { to, stamp, ballot, ask })
    }
}

impl<D> Holds<D> for Reply<D> {
    type With<E: Beside> = Reply<E>;

    fn convert<E: Beside, X>(self, change: impl Fn(D) -> Result<E, X>) -> Result<Reply<E>, X> {
        let Self { from, ballot, record_counter, said } = self;
        let said = match said {
            Said::Promised(vote) => {
                Said::Promised(vote.map(|vote| vote.convert(change)).transpose()?)
            }
            Said::Accepted => Said::Accepted,
            Said::Holds { promised, accepted } => {
                let accepted = accepted.map(|vote| vote.convert(change)).transpose()?;
                Said::Holds { promised, accepted }
            }
            Said::Refused(refusal) => Said::Refused(refusal),
        };
        Ok(Reply { from, ballot, record_counter, said })
    }
}
