//! Trust policies (C2SP tlog-policy): whose signatures make a checkpoint good.
//!
//! ```text
//! log <vkey> [<url>]
//! witness <name> <vkey> [<url>]
//! group <name> all|any|<k> <member>…
//! quorum <name>|none
//! ```
//!
//! A checkpoint is good when one of the logs signed it under its own name, and the quorum is met.
//! Names are bytes in the specification; here a policy must be UTF-8.

use std::collections::HashMap;

use crate::checkpoint::Checkpoint;
use crate::key::{KeyKind, VerifyingKey};
use crate::note::{Note, NoteError};

/// Why a policy cannot be read, or a checkpoint does not satisfy it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyError {
    /// The text is not a policy.
    #[error("not a trust policy: line {line}: {problem}")]
    Malformed {
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        problem: String,
    },
    /// The checkpoint is damaged, or a signature of a known key is wrong.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// None of the policy's logs signed the checkpoint.
    #[error("no log of the policy signed the checkpoint of `{origin}`")]
    NoLog {
        /// The log that the checkpoint names.
        origin: String,
    },
    /// Too few witnesses signed.
    #[error(
        "the quorum `{quorum}` is not met; witnesses that signed: {}",
        list(signed)
    )]
    NoQuorum {
        /// The name of the quorum.
        quorum: String,
        /// The witnesses that signed, by their names in the policy.
        signed: Vec<String>,
    },
}

fn list(names: &[String]) -> String {
    if names.is_empty() {
        "none".to_owned()
    } else {
        names.join(", ")
    }
}

#[derive(Clone, Debug)]
enum Member {
    /// A witness, by the position of its key.
    Witness(usize),
    /// At least `needed` of the members, by their positions.
    Group { needed: usize, members: Vec<usize> },
}

/// A trust policy.
#[derive(Clone, Debug)]
pub struct Policy {
    /// The keys of the logs, then those of the witnesses.
    keys: Vec<VerifyingKey>,
    logs: usize,
    /// Witnesses and groups in the order of their lines; a group only names earlier ones.
    members: Vec<(String, Member)>,
    quorum: Option<usize>,
}

impl Policy {
    /// Reads a policy.
    ///
    /// # Errors
    ///
    /// When the text is not one; the error names the line.
    pub fn parse(text: &str) -> Result<Self, PolicyError> {
        let mut reader = Reader::default();
        let mut count = 0;
        for (line, content) in (1..).zip(text.split('\n')) {
            count = line;
            reader
                .line(content)
                .map_err(|problem| PolicyError::Malformed { line, problem })?;
        }
        let Some(quorum) = reader.quorum else {
            let problem = "there is no `quorum` line".to_owned();
            return Err(PolicyError::Malformed {
                line: count,
                problem,
            });
        };
        let logs = reader.logs.len();
        let mut keys = reader.logs;
        keys.extend(reader.witnesses);
        Ok(Self {
            keys,
            logs,
            members: reader.members,
            quorum,
        })
    }

    /// Returns the keys of the logs.
    pub fn logs(&self) -> &[VerifyingKey] {
        &self.keys[..self.logs]
    }

    /// Returns the keys of the witnesses.
    pub fn witnesses(&self) -> &[VerifyingKey] {
        &self.keys[self.logs..]
    }

    /// Checks a signed checkpoint and returns it.
    ///
    /// # Errors
    ///
    /// When it is damaged, of no log of the policy, or too few witnesses signed it.
    pub fn check(&self, note: &Note) -> Result<Checkpoint, PolicyError> {
        let checkpoint = Checkpoint::parse(note.text())?;
        let verified = note.verify_any(&self.keys)?;
        let signed = |key: &VerifyingKey| verified.iter().any(|verified| verified.key == key);
        if !self
            .logs()
            .iter()
            .any(|key| key.name() == checkpoint.origin && signed(key))
        {
            return Err(PolicyError::NoLog {
                origin: checkpoint.origin,
            });
        }
        let Some(quorum) = self.quorum else {
            return Ok(checkpoint);
        };
        let mut met: Vec<bool> = Vec::with_capacity(self.members.len());
        for (_, member) in &self.members {
            met.push(match member {
                Member::Witness(position) => signed(&self.witnesses()[*position]),
                Member::Group { needed, members } => {
                    members.iter().filter(|member| met[**member]).count() >= *needed
                }
            });
        }
        if met[quorum] {
            return Ok(checkpoint);
        }
        let witnesses = self.members.iter().zip(&met);
        let witnesses = witnesses
            .filter(|((_, member), met)| **met && matches!(member, Member::Witness(_)))
            .map(|((name, _), _)| name.clone());
        Err(PolicyError::NoQuorum {
            quorum: self.members[quorum].0.clone(),
            signed: witnesses.collect(),
        })
    }
}

#[derive(Default)]
struct Reader {
    logs: Vec<VerifyingKey>,
    witnesses: Vec<VerifyingKey>,
    members: Vec<(String, Member)>,
    /// The position of each name, and whether it is a member of a group already.
    names: HashMap<String, (usize, bool)>,
    quorum: Option<Option<usize>>,
}

impl Reader {
    fn line(&mut self, line: &str) -> Result<(), String> {
        if let Some(bad) = line.chars().find(|c| c.is_ascii_control() && *c != '\t') {
            return Err(format!("the control character {bad:?}"));
        }
        let mut words = line.split([' ', '\t']).filter(|word| !word.is_empty());
        let keyword = match words.next() {
            None => return Ok(()),
            Some(word) if word.starts_with('#') => return Ok(()),
            Some(keyword) => keyword,
        };
        let words: Vec<&str> = words.collect();
        match (keyword, words.as_slice()) {
            ("log", [vkey] | [vkey, _]) => {
                add_key(&mut self.logs, vkey, KeyKind::Note)?;
                Ok(())
            }
            ("witness", [name, vkey] | [name, vkey, _]) => {
                let position = add_key(&mut self.witnesses, vkey, KeyKind::Cosignature)?;
                self.define(name, Member::Witness(position))
            }
            ("group", [name, needed, members @ ..]) if !members.is_empty() => {
                let count = members.len();
                let needed = match *needed {
                    "all" => count,
                    "any" => 1,
                    k => crate::checkpoint::parse_decimal(k)
                        .and_then(|k| usize::try_from(k).ok())
                        .filter(|k| (1..=count).contains(k))
                        .ok_or_else(|| format!("`{k}` is not `all`, `any` or 1 to {count}"))?,
                };
                let members = members
                    .iter()
                    .map(|member| self.join(member))
                    .collect::<Result<_, _>>()?;
                self.define(name, Member::Group { needed, members })
            }
            ("quorum", [name]) => {
                if self.quorum.is_some() {
                    return Err("a second `quorum` line".to_owned());
                }
                self.quorum = Some(match *name {
                    "none" => None,
                    name => Some(self.find(name)?.0),
                });
                Ok(())
            }
            ("log" | "witness" | "group" | "quorum", _) => {
                Err(format!("`{keyword}` with {} words after it", words.len()))
            }
            _ => Err(format!(
                "`{keyword}` is not `log`, `witness`, `group` or `quorum`"
            )),
        }
    }

    fn define(&mut self, name: &str, member: Member) -> Result<(), String> {
        if name == "none" || self.names.contains_key(name) {
            return Err(format!("the name `{name}` is taken"));
        }
        self.names
            .insert(name.to_owned(), (self.members.len(), false));
        self.members.push((name.to_owned(), member));
        Ok(())
    }

    fn find(&mut self, name: &str) -> Result<&mut (usize, bool), String> {
        self.names
            .get_mut(name)
            .ok_or_else(|| format!("`{name}` is not defined above"))
    }

    /// A name is a member of one group at most, so that no witness counts twice.
    fn join(&mut self, name: &str) -> Result<usize, String> {
        let (position, joined) = self.find(name)?;
        if std::mem::replace(joined, true) {
            return Err(format!("`{name}` is a member already"));
        }
        Ok(*position)
    }
}

/// Adds a key that must be of this kind and not be there already, under whatever name.
fn add_key(keys: &mut Vec<VerifyingKey>, vkey: &str, kind: KeyKind) -> Result<usize, String> {
    let key: VerifyingKey = vkey
        .parse()
        .map_err(|problem: NoteError| problem.to_string())?;
    if key.kind() != kind {
        return Err(format!("the key of `{}` is of the wrong kind", key.name()));
    }
    if keys.iter().any(|known| known.public() == key.public()) {
        return Err(format!("the key of `{}` is there already", key.name()));
    }
    keys.push(key);
    Ok(keys.len() - 1)
}
