//! One scrape of a process with several shards: texts of registries joined into one exposition.
//!
//! *Invariants:* each metric has one head, and the samples of all shards follow it.

use std::collections::BTreeMap;

/// The first line of each metric's head.
const HEAD: &str = "# HELP ";

/// Joins the texts of registries with the same metrics. Metrics keep the order in which they come first.
pub(crate) fn joined(texts: &[String]) -> String {
    let mut metrics: Vec<(&str, String)> = Vec::new();
    let mut places = BTreeMap::<&str, usize>::new();
    for text in texts {
        for (name, head, samples) in blocks(text) {
            let place = *places.entry(name).or_insert_with(|| {
                metrics.push((head, String::new()));
                metrics.len() - 1
            });
            if let Some((_, all)) = metrics.get_mut(place) {
                all.push_str(samples);
            }
        }
    }
    metrics.iter().flat_map(|(head, samples)| [*head, samples.as_str()]).collect()
}

/// Returns name, head and samples of each metric of a registry's text.
fn blocks(text: &str) -> impl Iterator<Item = (&str, &str, &str)> {
    let at_line = |at: &usize| *at == 0 || text.get(..*at).is_some_and(|before| before.ends_with('\n'));
    let starts = text.match_indices(HEAD).map(|(at, _)| at).filter(at_line);
    let starts: Vec<usize> = starts.collect();
    let ends: Vec<usize> = starts.iter().skip(1).copied().chain([text.len()]).collect();
    starts.into_iter().zip(ends).filter_map(move |(start, end)| {
        let block = text.get(start..end)?;
        let name = block.strip_prefix(HEAD)?.split_whitespace().next()?;
        let head_bytes: usize =
            block.split_inclusive('\n').take_while(|line| line.starts_with('#')).map(str::len).sum();
        let (head, samples) = block.split_at_checked(head_bytes)?;
        Some((name, head, samples))
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use rustorium_stages::metrics::NodeMetrics;
    use rustorium_types::ShardId;
    use std::collections::BTreeSet;

    #[test]
    fn each_metric_has_one_head_and_the_samples_of_all_shards() {
        let texts = [ShardId(0), ShardId(7)].map(|shard| NodeMetrics::new(shard).encode_shard());
        let text = joined(&texts);
        let heads: Vec<&str> = text.lines().filter(|line| line.starts_with("# TYPE ")).collect();
        assert_eq!(heads.len(), heads.iter().collect::<BTreeSet<_>>().len(), "a metric has one head");
        for shard in ["0", "7"] {
            let sample = format!("rustorium_consensus_view{{shard=\"{shard}\"}} 0");
            assert!(text.lines().any(|line| line == sample), "{sample} is missing in {text}");
        }
        let (first, second) = (text.find("view{shard=\"0\"}").unwrap(), text.find("view{shard=\"7\"}").unwrap());
        assert!(!text[first..second].contains('#'), "no other head is between the samples of one metric");
        assert_eq!(joined(&texts[..1]), texts[0]);
        let lines = |text: &str| text.lines().filter(|line| !line.starts_with('#')).count();
        assert_eq!(lines(&text), texts.iter().map(|text| lines(text)).sum::<usize>());
    }
}
