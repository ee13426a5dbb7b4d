//! The tables.

use crate::rows::CONTENDERS;
use crate::{Counts, Measured, Row, Target, Unit};

use crate::row::{FLOOR, OURS};

/// What was measured.
pub struct Report {
    pub(crate) lines: Vec<Line>,
}

/// A row, and the median of each contender that took part.
pub(crate) struct Line {
    pub(crate) row: &'static Row,
    pub(crate) figures: Vec<(&'static str, Measured)>,
}

impl Report {
    /// The figures, how ours compare, and whether that is what was aimed at.
    pub fn costs(&self, markdown: bool) -> String {
        let contenders = self.contenders();
        let mut table = vec![vec!["row".to_owned(), "unit".to_owned()]];
        table[0].extend(contenders.iter().map(|&name| name.to_owned()));
        table[0].extend(["ours / fastest peer", "to reach", "reached"].map(str::to_owned));
        for line in &self.lines {
            let mut cells = vec![line.row.name.to_owned(), unit(line.row.unit).to_owned()];
            let cell = |name: &&str| line.figure(name).map_or("-".to_owned(), rounded);
            cells.extend(contenders.iter().map(cell));
            cells.extend(line.verdict());
            table.push(cells);
        }
        render(&table, markdown)
    }

    /// How often each contender goes to the allocator per operation, and for how many bytes.
    pub fn allocations(&self, markdown: bool) -> String {
        let contenders = self.contenders();
        let mut table = vec![vec!["row".to_owned()]];
        table[0].extend(contenders.iter().map(|&name| name.to_owned()));
        for line in &self.lines {
            let mut cells = vec![line.row.name.to_owned()];
            cells.extend(contenders.iter().map(|name| match line.find(name) {
                Some(Counts {
                    allocations, bytes, ..
                }) => format!("{allocations:.2} / {bytes:.0}"),
                None => "-".to_owned(),
            }));
            table.push(cells);
        }
        render(&table, markdown)
    }

    /// Who took part in any row, in the table's order.
    fn contenders(&self) -> Vec<&'static str> {
        let took_part = |name: &&&str| self.lines.iter().any(|line| line.find(name).is_some());
        CONTENDERS.iter().filter(took_part).copied().collect()
    }
}

impl Line {
    fn find(&self, contender: &str) -> Option<Counts> {
        let (_, Measured(counts)) = self.figures.iter().find(|(name, _)| *name == contender)?;
        Some(*counts)
    }

    /// The figure that this row is about.
    fn figure(&self, contender: &str) -> Option<f64> {
        let counts = self.find(contender)?;
        Some(match self.row.unit {
            Unit::Cpu | Unit::Wall => counts.nanos,
            Unit::Heap => counts.live,
        })
    }

    fn fastest_peer(&self) -> Option<(&'static str, f64)> {
        let peers = self.figures.iter().filter(|(name, _)| self.row.ranks(name));
        let figures = peers.filter_map(|(name, _)| Some((*name, self.figure(name)?)));
        figures.min_by(|(_, one), (_, other)| one.total_cmp(other))
    }

    /// The last three cells: the ratio, the target, and whether it is reached.
    fn verdict(&self) -> [String; 3] {
        let peer = self.fastest_peer();
        let ours = self.figure(OURS);
        let to_peer = ours.zip(peer).map(|(ours, (_, peer))| ours / peer);
        let to_floor = ours
            .zip(self.figure(FLOOR))
            .map(|(ours, floor)| ours / floor);
        let (target, reached) = match self.row.target {
            Target::Peer(most) => (format!("{most:.2}"), to_peer.map(|ratio| ratio <= most)),
            Target::PeerAndFloor(most, most_of_floor) => (
                format!("{most:.2}, floor x {most_of_floor:.1}"),
                to_peer
                    .zip(to_floor)
                    .map(|(peer, floor)| peer <= most && floor <= most_of_floor),
            ),
            Target::Floor(most) => (
                format!("floor x {most:.1}"),
                to_floor.map(|ratio| ratio <= most),
            ),
            Target::AtMost(most) => (format!("at most {most}"), ours.map(|ours| ours <= most)),
        };
        let compared = match (to_peer, peer) {
            (Some(ratio), Some((name, _))) => format!("{ratio:.2} ({name})"),
            (None, Some((name, _))) => format!("({name})"),
            _ => "-".to_owned(),
        };
        let reached = reached.map_or("-", |reached| if reached { "yes" } else { "NO" });
        [compared, target, reached.to_owned()]
    }
}

fn unit(unit: Unit) -> &'static str {
    match unit {
        Unit::Cpu => "ns CPU",
        Unit::Wall => "ns wall",
        Unit::Heap => "bytes",
    }
}

/// Three digits are enough, and more than one machine's mood allows.
fn rounded(figure: f64) -> String {
    if figure < 100.0 {
        format!("{figure:.1}")
    } else {
        format!("{figure:.0}")
    }
}

/// Columns of equal width, the first to the left.
fn render(table: &[Vec<String>], markdown: bool) -> String {
    let width = |column: usize| {
        table
            .iter()
            .map(|cells| cells[column].len())
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<usize> = (0..table[0].len()).map(width).collect();
    let mut text = String::new();
    for (number, cells) in table.iter().enumerate() {
        let padded = cells
            .iter()
            .zip(&widths)
            .enumerate()
            .map(|(column, (cell, &width))| {
                if column == 0 {
                    format!("{cell:<width$}")
                } else {
                    format!("{cell:>width$}")
                }
            });
        let padded: Vec<String> = padded.collect();
        if markdown {
            text += &format!("| {} |\n", padded.join(" | "));
        } else {
            text += &format!("{}\n", padded.join("  ").trim_end());
        }
        if markdown && number == 0 {
            let rules = widths.iter().enumerate().map(|(column, &width)| {
                let rule = "-".repeat(width + 1);
                if column == 0 {
                    format!("{rule}-")
                } else {
                    format!("{rule}:")
                }
            });
            text += &format!("|{}|\n", rules.collect::<Vec<_>>().join("|"));
        }
    }
    text
}
