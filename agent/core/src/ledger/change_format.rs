//! Changes of the document that have to do with its format: it is raised, an agent reports what it
//! understands, and a setting is only kept where the format has a place for it.

use super::document::Document;
use super::format::{Format, FormatRefused, Understood};
use super::settings::{KEYS, Key, SettingError};
use crate::ids::NodeId;

impl Document {
    /// The highest format that each member is known to understand.
    #[must_use]
    pub fn understood(&self, said: &Understood) -> Understood {
        let members = self.roster.members.iter();
        members
            .map(|(node, member)| {
                let by_answer = || said.get(node).copied().unwrap_or(Format::ONE);
                let listed = self.format >= Format::SAYS_WHO_UNDERSTANDS;
                (*node, if listed { member.understands } else { by_answer() })
            })
            .collect()
    }

    /// The format that should be in force: the highest that this program and all members
    /// understand, and never a lower one than the present.
    #[must_use]
    pub fn agreeable_format(&self, said: &Understood) -> Format {
        let lowest = self.understood(said).into_values().min().unwrap_or(self.format);
        lowest.min(Format::NEWEST).max(self.format)
    }

    /// Raises the format as far as all members understand it.
    ///
    /// # Errors
    /// [`FormatRefused::NotByAll`] where that is no further than now.
    pub fn raise_format(&self, said: &Understood) -> Result<Self, FormatRefused> {
        let format = self.agreeable_format(said);
        if format <= self.format {
            return Err(FormatRefused::NotByAll { in_force: self.format });
        }
        let mut next = Self { format, ..self.clone() };
        for (node, understands) in self.understood(said) {
            if let Some(member) = next.roster.members.get_mut(&node) {
                member.understands = understands;
            }
        }
        Ok(next)
    }

    /// Whether a member has to report, because the roster says something else of it.
    #[must_use]
    pub fn wants_report(&self, node: NodeId, understands: Format) -> bool {
        self.format >= Format::SAYS_WHO_UNDERSTANDS
            && self.roster.members.get(&node).is_some_and(|it| it.understands != understands)
    }

    /// Enters what a member's agent understands; it may be less than before.
    ///
    /// # Errors
    /// When it is not on the roster.
    pub fn report_understood(
        &self,
        node: NodeId,
        understands: Format,
    ) -> Result<Self, FormatRefused> {
        let mut next = self.clone();
        let member = next.roster.members.get_mut(&node);
        member.ok_or(FormatRefused::NoSuchNode(node))?.understands = understands;
        Ok(next)
    }

    /// The document as everybody reads it who reads its format: what that format has no place for
    /// is at the value that nobody has changed.
    #[must_use]
    pub fn as_written(mut self) -> Self {
        if self.format < Format::SAYS_WHO_UNDERSTANDS {
            for member in self.roster.members.values_mut() {
                member.understands = Format::ONE;
            }
        }
        for key in KEYS.iter().filter(|key| key.since > self.format) {
            key.reset(&mut self.settings);
        }
        self
    }

    /// Changes one setting.
    ///
    /// # Errors
    /// For a key or a value that does not fit, and for a key that the format in force has no place
    /// for, with the members because of whom that is so.
    pub fn with_setting(
        &self,
        name: &str,
        value: &str,
        said: &Understood,
    ) -> Result<Self, SettingError> {
        let mut next = self.clone();
        next.settings.set(name, value)?;
        let key = Key::named(name)?;
        if key.since > self.format {
            let behind = self.understood(said).into_iter();
            let behind = behind.filter(|(_, understands)| *understands < key.since);
            return Err(SettingError::NotYet {
                key: key.name,
                needed: key.since,
                behind: behind.map(|(node, _)| self.roster.name_of(node)).collect(),
            });
        }
        Ok(next)
    }
}
