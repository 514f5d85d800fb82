//! Documents taken apart: fenced blocks, prose, inline code.
//!
//! Reads the part of CommonMark that the project's documents use: fences of three backticks or
//! more. No indented code.

/// A fenced code block.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Block {
    /// First word after the fence, such as `sh`.
    pub(crate) language: String,
    /// Other words after the fence, such as `no-run`.
    pub(crate) words: Vec<String>,
    /// Line of the document on which the text starts.
    pub(crate) line: usize,
    /// The text inside.
    pub(crate) text: String,
}

/// A document taken apart.
#[derive(Debug, Default)]
pub(crate) struct Parts {
    /// Fenced blocks in order.
    pub(crate) blocks: Vec<Block>,
    /// Lines outside of fences, with their numbers.
    pub(crate) prose: Vec<(usize, String)>,
}

/// Takes a document apart into fenced blocks and prose.
pub(crate) fn parts(text: &str) -> Parts {
    let mut parts = Parts::default();
    let mut open: Option<(usize, Block)> = None;
    for (index, line) in text.lines().enumerate() {
        let trimmed = line.trim_start();
        let ticks = trimmed.bytes().take_while(|&b| b == b'`').count();
        match &mut open {
            Some((fence, _)) if ticks >= *fence && trimmed[ticks..].trim().is_empty() => {
                parts.blocks.extend(open.take().map(|(_, block)| block));
            }
            Some((_, block)) => {
                block.text.push_str(line);
                block.text.push('\n');
            }
            None if ticks >= 3 => {
                let mut words = trimmed[ticks..].split_whitespace().map(str::to_owned);
                let language = words.next().unwrap_or_default();
                let words = words.collect();
                let block = Block {
                    language,
                    words,
                    line: index + 2,
                    text: String::new(),
                };
                open = Some((ticks, block));
            }
            None => parts.prose.push((index + 1, line.to_owned())),
        }
    }
    parts.blocks.extend(open.map(|(_, block)| block));
    parts
}

/// Returns the inline code of a line of prose.
pub(crate) fn inline_code(line: &str) -> Vec<&str> {
    line.split('`').skip(1).step_by(2).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fences_and_prose_are_told_apart() {
        let parts = parts("a\n```sh no-run\nb\n````\n# c\n```\nd\n");
        assert_eq!(parts.blocks.len(), 2);
        assert_eq!(parts.blocks[0].language, "sh");
        assert_eq!(parts.blocks[0].words, ["no-run"]);
        assert_eq!(
            (parts.blocks[0].line, parts.blocks[0].text.as_str()),
            (3, "b\n")
        );
        assert_eq!(parts.prose, [(1, "a".to_owned()), (5, "# c".to_owned())]);
        assert_eq!(parts.blocks[1].text, "d\n", "an open fence runs to the end");
    }
}
