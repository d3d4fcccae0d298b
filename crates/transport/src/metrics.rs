//! The transport's figures, read from its counters when they are scraped.

use crate::HandshakeLimiters;
use crate::framing::CLASSES;
use crate::link::ClassCounters;
use crate::refusal::{REFUSAL_LABELS, RefusalCounters};
use crate::roster::Roster;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use quinn::PathStats;
use rustorium_types::Class;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// A metric: its name, its help text, and the function that reads it.
type Packets = (&'static str, &'static str, fn(&PathStats) -> u64);
type Labels = [(&'static str, String); 2];

/// Metrics of every link: `rustorium_transport_…`, labelled by peer and class.
#[derive(Debug, Clone)]
pub struct TransportMetrics {
    pub(crate) roster: Arc<Roster>,
    pub(crate) limiters: HandshakeLimiters,
    pub(crate) refusals: Arc<RefusalCounters>,
    pub(crate) unhosted: Arc<AtomicU64>,
    /// Lateness of delayed frames, where links are delayed.
    pub(crate) late: Option<Histogram>,
}

impl TransportMetrics {
    /// Adds the metrics to the node's registry, which must have no prefix.
    pub fn register(self, registry: &mut Registry) {
        registry.register_collector(Box::new(self));
    }

    fn per_class(
        &self,
        encoder: &mut DescriptorEncoder<'_>,
        name: &str,
        help: &str,
        read: impl Fn(&ClassCounters) -> &AtomicU64,
    ) -> fmt::Result {
        let kind = ConstCounter::new(0u64).metric_type();
        let mut family = encoder.encode_descriptor(name, help, None, kind)?;
        for (peer, link) in self.roster.named() {
            for class in CLASSES {
                let labels: Labels = [("peer", peer.clone()), ("class", name_of(class).into())];
                let value = read(&link.counters[class as usize]).load(Relaxed);
                ConstCounter::new(value).encode(family.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }

    fn queues(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let kind = ConstGauge::new(0i64).metric_type();
        let help = "Bytes of frames waiting to be sent";
        let mut family = encoder.encode_descriptor("rustorium_transport_queue", help, Some(&Unit::Bytes), kind)?;
        for (peer, link) in self.roster.named() {
            for class in CLASSES {
                let labels: Labels = [("peer", peer.clone()), ("class", name_of(class).into())];
                let (_, bytes) = link.depth(class);
                gauge(i64::try_from(bytes).unwrap_or(i64::MAX), family.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }

    fn links(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let kind = ConstGauge::new(0i64).metric_type();
        let help = "1 if the link to a peer is up, otherwise 0";
        let mut family = encoder.encode_descriptor("rustorium_transport_link_up", help, None, kind)?;
        for (peer, link) in self.roster.named() {
            let up = i64::from(link.rtt_us().is_some());
            gauge(up, family.encode_family(&[("peer", peer)])?)?;
        }
        let help = "Link protocol version used with a peer";
        let mut family = encoder.encode_descriptor("rustorium_transport_protocol_version", help, None, kind)?;
        for (peer, link) in self.roster.named() {
            if let Some(version) = link.version() {
                gauge(i64::from(version), family.encode_family(&[("peer", peer)])?)?;
            }
        }
        let help = "Smoothed round-trip time of the link to a peer";
        let mut family = encoder.encode_descriptor("rustorium_transport_rtt", help, Some(&Unit::Seconds), kind)?;
        for (peer, link) in self.roster.named() {
            if let Some(rtt_us) = link.rtt_us() {
                let labels = [("peer", peer)];
                ConstGauge::new(Duration::from_micros(rtt_us).as_secs_f64()).encode(family.encode_family(&labels)?)?;
            }
        }
        let help = "QUIC congestion window in bytes of the link to a peer";
        let name = "rustorium_transport_congestion_window";
        let mut family = encoder.encode_descriptor(name, help, Some(&Unit::Bytes), kind)?;
        for (peer, link) in self.roster.named() {
            if let Some(path) = link.path() {
                let window = i64::try_from(path.cwnd).unwrap_or(i64::MAX);
                gauge(window, family.encode_family(&[("peer", peer)])?)?;
            }
        }
        Ok(())
    }

    /// Encodes QUIC's counters of the present connections. A new connection begins at 0.
    fn losses(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let kind = ConstCounter::new(0u64).metric_type();
        let packets: [Packets; 3] = [
            ("sent_packets", "QUIC packets sent on the current connection", |path| path.sent_packets),
            ("lost_packets", "QUIC packets lost on the current connection", |path| path.lost_packets),
            ("congestion_events", "Congestion events on the current connection", |path| path.congestion_events),
        ];
        for (what, help, read) in packets {
            let name = format!("rustorium_transport_{what}");
            let mut family = encoder.encode_descriptor(&name, help, None, kind)?;
            for (peer, link) in self.roster.named() {
                if let Some(path) = link.path() {
                    let labels = [("peer", peer)];
                    ConstCounter::new(read(&path)).encode(family.encode_family(&labels)?)?;
                }
            }
        }
        Ok(())
    }

    fn followers(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let kind = ConstGauge::new(0i64).metric_type();
        let help = "Connected nodes outside the committee";
        let family = encoder.encode_descriptor("rustorium_transport_followers", help, None, kind)?;
        gauge(i64::try_from(self.roster.followers().len()).unwrap_or(i64::MAX), family)
    }

    fn reconnects(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let kind = ConstCounter::new(0u64).metric_type();
        let help = "Times that the link to a peer was re-established";
        let mut family = encoder.encode_descriptor("rustorium_transport_reconnects", help, None, kind)?;
        for (peer, link) in self.roster.named() {
            let again = link.ups.load(Relaxed).saturating_sub(1);
            ConstCounter::new(again).encode(family.encode_family(&[("peer", peer)])?)?;
        }
        Ok(())
    }

    fn proofs(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let help = "Connection attempts that first had to prove their address (QUIC Retry)";
        let proofs = ConstCounter::new(self.limiters.members.proofs() + self.limiters.strangers.proofs());
        proofs.encode(encoder.encode_descriptor(
            "rustorium_transport_address_proofs",
            help,
            None,
            proofs.metric_type(),
        )?)
    }

    fn refusals(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let kind = ConstCounter::new(0u64).metric_type();
        let help = "Connections refused by either side, by reason";
        let mut family = encoder.encode_descriptor("rustorium_transport_refusals", help, None, kind)?;
        for (label, count) in REFUSAL_LABELS.iter().zip(self.refusals.iter()) {
            ConstCounter::new(count.load(Relaxed)).encode(family.encode_family(&[("reason", *label)])?)?;
        }
        Ok(())
    }
}

impl TransportMetrics {
    fn unhosted(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let help = "Streams refused because this node does not host their shard";
        let count = ConstCounter::new(self.unhosted.load(Relaxed));
        let name = "rustorium_transport_unhosted_streams";
        count.encode(encoder.encode_descriptor(name, help, None, count.metric_type())?)
    }

    fn late(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let Some(late) = &self.late else { return Ok(()) };
        let help = "Time by which delayed frames left after they were due, on links with simulated delays";
        let (name, unit) = ("rustorium_transport_shaper_late", Some(&Unit::Seconds));
        late.encode(encoder.encode_descriptor(name, help, unit, late.metric_type())?)
    }
}

impl Collector for TransportMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let e = &mut encoder;
        self.per_class(e, "rustorium_transport_sent_frames", "Frames handed to the network", |c| &c.sent_frames)?;
        self.per_class(e, "rustorium_transport_sent_bytes", "Bytes of frames handed to the network", |c| {
            &c.sent_bytes
        })?;
        self.per_class(e, "rustorium_transport_received_frames", "Frames received", |c| &c.received_frames)?;
        self.per_class(e, "rustorium_transport_received_bytes", "Bytes of frames received", |c| &c.received_bytes)?;
        self.per_class(e, "rustorium_transport_full_frames", "Frames dropped because the send queue was full", |c| {
            &c.full
        })?;
        self.queues(e)?;
        self.links(e)?;
        self.losses(e)?;
        self.followers(e)?;
        self.reconnects(e)?;
        self.proofs(e)?;
        self.refusals(e)?;
        self.unhosted(e)?;
        self.late(e)
    }
}

fn gauge(value: i64, encoder: MetricEncoder<'_>) -> fmt::Result {
    ConstGauge::new(value).encode(encoder)
}

fn name_of(class: Class) -> &'static str {
    match class {
        Class::Consensus => "consensus",
        Class::Data => "data",
        Class::Sync => "sync",
    }
}
