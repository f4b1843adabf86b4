//! Changes of the roster: a node comes, votes, and is readmitted. How one goes stands in
//! [`super::departure`].
//!
//! A node is first put on the roster without a vote. It gets its vote in a change of its own, when
//! its agent answers, because a new voter counts for the quorum that has to accept it.

use super::document::Document;
use super::electorate::{IllegalChange, RosterChange, VOTERS_MAX};
use super::format::TooOld;
use super::roster::Member;
use super::token::{TokenId, TokenRecord, TokenRefusal, judge};
use crate::ids::{AcceptorId, NodeId};

/// Why the roster was not changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RosterRefused {
    /// Another node has the name.
    #[error("the name `{name}` is on the roster already")]
    NameTaken {
        /// The name.
        name: String,
    },
    /// Another node has the address.
    #[error("the address {address} is on the roster already, as `{name}`")]
    AddressTaken {
        /// The address.
        address: core::net::IpAddr,
        /// Whose it is.
        name: String,
    },
    /// Another node has the identity or the acceptor: the disk of a member was copied.
    #[error("the identity of this node is on the roster already, as `{name}`")]
    IdentityTaken {
        /// Whose it is.
        name: String,
    },
    /// The token does not open the door.
    #[error(transparent)]
    Token(#[from] TokenRefusal),
    /// Its agent could not read what the members write.
    #[error("the node's agent understands up to format {}, and the cluster has format {}",
            .0.known, .0.needed)]
    TooOld(TooOld),
    /// The roster has no such node.
    #[error("no node of the roster is called `{name}`")]
    NoSuchNode {
        /// The name, or the identity.
        name: String,
    },
    /// The rules of the electorate forbid it.
    #[error(transparent)]
    Electorate(#[from] IllegalChange),
    /// The last node cannot be taken out: that would be the end of the cluster.
    #[error("`{name}` is the last node of the cluster")]
    LastNode {
        /// Its name.
        name: String,
    },
    /// Too few of those who would stay vote now.
    #[error("without `{name}` the ledger needs the votes of nodes that do not vote now: {mute}")]
    NoMajorityLeft {
        /// Who is to go.
        name: String,
        /// Those who would stay and do not vote, by name.
        mute: String,
    },
    /// A decision is open, and this node may have to act in it.
    #[error("a formation is being carried out")]
    DecisionOpen,
}

impl RosterRefused {
    /// What a person can do about it.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::NameTaken { name } => format!(
                "choose another with --name, or take the old node out with \
                 `agentctl remove {name}` if it is gone for good"
            ),
            Self::AddressTaken { name, .. } => format!(
                "choose another with --address, or take the old node out with \
                 `agentctl remove {name}` if it is gone for good"
            ),
            Self::IdentityTaken { .. } => {
                "is /var/lib/relight the copy of another node's? then purge relight here, install it \
                 again and join"
                    .to_owned()
            }
            Self::Token(refusal) => refusal.hint().to_owned(),
            Self::TooOld(_) => {
                "install the version of relight there that the members run, and join again"
                    .to_owned()
            }
            Self::NoSuchNode { .. } => "`agentctl status` lists the nodes".to_owned(),
            Self::Electorate(illegal) => illegal.hint().to_owned(),
            Self::LastNode { .. } => {
                "purge the package on this node to end the cluster; the data stays".to_owned()
            }
            Self::NoMajorityLeft { .. } => {
                "start relightd there; one whose record of the ledger is lost or cannot be written \
                 says so in `agentctl status`, and votes again by itself as soon as it can: then \
                 the same command"
                    .to_owned()
            }
            Self::DecisionOpen => "wait until `agentctl status` shows it finished".to_owned(),
        }
    }
}

/// A token as somebody presents it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PresentedToken {
    /// Which one.
    pub id: TokenId,
    /// SHA-256 of the secret that came with it.
    pub secret_hash: [u8; 32],
    /// The judging node's clock, milliseconds since 1970.
    pub now_unix_ms: u64,
}

impl Document {
    /// Puts a node on the roster, without a vote, and spends one use of its token. A node that is
    /// there already, and whose answer was lost, gets the same answer again; it needs a token for
    /// that too, whose use it has spent the first time. As long as it has no vote, zone, role and
    /// configuration may be others than at the first time; its agent may be another at any time.
    ///
    /// # Errors
    /// When the token, the identity, the name or the address does not fit.
    pub fn admit(
        &self,
        node: NodeId,
        member: Member,
        token: PresentedToken,
    ) -> Result<Self, RosterRefused> {
        let again = self.roster.members.get(&node).is_some_and(|present| {
            present.name == member.name
                && present.address == member.address
                && present.acceptor == member.acceptor
        });
        let record = self.tokens.get(&token.id);
        match judge(record, &token.secret_hash, token.now_unix_ms) {
            Ok(()) => {}
            Err(TokenRefusal::Used) if again => {}
            Err(refused) => return Err(refused.into()),
        }
        if member.understands < self.format {
            let (needed, known) = (self.format, member.understands);
            return Err(RosterRefused::TooOld(TooOld { needed, known }));
        }
        if again {
            return self.admit_again(node, member);
        }
        for (other, present) in &self.roster.members {
            if *other == node || present.acceptor == member.acceptor {
                return Err(RosterRefused::IdentityTaken { name: present.name.to_string() });
            }
            if present.name == member.name {
                return Err(RosterRefused::NameTaken { name: member.name.to_string() });
            }
            if present.address == member.address {
                let name = present.name.to_string();
                return Err(RosterRefused::AddressTaken { address: member.address, name });
            }
        }
        if self.roster.members.len() >= VOTERS_MAX {
            let count = self.roster.members.len() + 1;
            return Err(RosterRefused::Electorate(IllegalChange::WrongSize { count }));
        }
        let mut next = self.clone();
        if let Some(record) = record.map(TokenRecord::spent) {
            next.tokens.insert(token.id, record);
        }
        next.roster.members.insert(node, member);
        Ok(next)
    }

    /// Whoever has a vote was heard as a member: what the roster says of it stays.
    fn admit_again(&self, node: NodeId, member: Member) -> Result<Self, RosterRefused> {
        let mut next = self.clone();
        let known = self.roster.members.get(&node).cloned();
        let known = known.map(|it| Member { understands: member.understands, ..it });
        if known.as_ref() != Some(&member) && self.roster.votes(node) {
            return Err(RosterRefused::IdentityTaken { name: member.name.to_string() });
        }
        next.roster.members.insert(node, member);
        Ok(next)
    }

    /// Gives a node of the roster its vote.
    ///
    /// # Errors
    /// When it is not on the roster, or another change is under way.
    pub fn enfranchise(&self, node: NodeId) -> Result<Self, RosterRefused> {
        let Some(member) = self.roster.members.get(&node) else {
            return Err(RosterRefused::NoSuchNode { name: node.to_string() });
        };
        let change = RosterChange::Add(member.acceptor);
        let mut next = self.clone();
        next.roster.electorate = self.roster.electorate.begin(change)?;
        Ok(next)
    }

    /// Ends the change of voters that is under way.
    #[must_use]
    pub fn settle(&self) -> Self {
        let mut next = self.clone();
        next.roster.electorate = self.roster.electorate.settled();
        next
    }

    /// Gives a node whose acceptor record is lost a vote under a fresh acceptor (R19).
    ///
    /// # Errors
    /// When it is not on the roster, or another change is under way.
    pub fn readmit(&self, node: NodeId, fresh: AcceptorId) -> Result<Self, RosterRefused> {
        let Some(member) = self.roster.members.get(&node) else {
            return Err(RosterRefused::NoSuchNode { name: node.to_string() });
        };
        let change = RosterChange::Replace { lost: member.acceptor, fresh };
        let mut next = self.clone();
        next.roster.electorate = self.roster.electorate.begin(change)?;
        if let Some(member) = next.roster.members.get_mut(&node) {
            member.acceptor = fresh;
        }
        Ok(next)
    }
}
