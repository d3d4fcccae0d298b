//! Who governs, as the node in memory says it.

use crate::client::{app, get};
use crate::key_pages::{governance, proposed};
use crate::world::World;
use rustorium_crypto::{change_hash, parameters_hash};
use rustorium_gateway::Backend;
use rustorium_gateway::http::HttpLimits;
use rustorium_types::*;
use serde_json::json;

#[tokio::test]
async fn seats_proposals_pauses_and_what_is_wanted_are_shown() {
    let world = World::new([1]);
    let made = governance(&world.chain().genesis).unwrap();
    let router = app(&world, HttpLimits::default());
    let shown = get(&router, "/v1/governance").await.json();
    assert_eq!((&shown["quorum"], shown["seats"].as_array().unwrap().len()), (&json!(2), 2));
    let seat = &shown["seats"][1];
    assert_eq!((&seat["number"], &seat["public_key"]), (&json!(1), &json!(hex::encode([2; 32]))));
    assert_eq!(seat["sender"], SystemSender::Seat(1).id().to_string());
    assert_eq!((&seat["room"], seat.get("authority_hash")), (&json!(120), None));
    let proposals = shown["proposals"].as_array().unwrap();
    assert_eq!(proposals.len(), 1, "a void one isn't shown");
    let proposal = &proposals[0];
    assert_eq!((&proposal["number"], &proposal["approvals"]), (&json!(3), &json!([0])));
    assert_eq!(
        (&proposal["change"], &proposal["hash"]),
        (&json!({ "type": "resume" }), &json!(change_hash(&proposed())))
    );
    let owners = shown["owners"].as_array().unwrap();
    assert_eq!(owners.len(), 3);
    let owner = &owners[2];
    assert_eq!((&owner["number"], &owner["nonce"], &owner["room"]), (&json!(2), &json!(5), &json!(119)));
    assert_eq!((&owner["sender"], &owner["changed"]), (&json!(SystemSender::Owner(2).id()), &json!(false)));
    assert_eq!((&owner["name"], &owner["owner_key"]), (&json!("c"), &json!(hex::encode([22; 32]))));
    assert_eq!((&owners[1]["wish"], owner.get("wish")), (&json!(change_hash(&proposed())), None), "of a former owner");
    assert_eq!(shown["pauses"], json!([{ "until_ms": made.time_ms + 3_600_000 }]));
    assert_eq!(shown["wanted"]["epoch_ms"], 7_200_000);
    assert_eq!(shown["wanted_hash"], json!(parameters_hash(&made.wanted)));
    assert_ne!(shown["wanted_hash"], shown["in_force_hash"]);
}

#[tokio::test]
async fn a_nodes_report_says_what_waits_for_seats_and_what_they_paused() {
    let world = World::new([1]);
    let until_ms = world.chain().genesis.time_ms + 3_600_000;
    let shown = get(&app(&world, HttpLimits::default()), "/v1/status").await.json();
    let proposal = json!({
        "number": 3, "change": "resume", "approvals": [0], "not_approved": [1], "until_ms": until_ms, "made": false,
    });
    let pauses = json!([{ "until_ms": until_ms }]);
    let wanted = json!({ "seats": 2, "quorum": 2, "proposals": [proposal], "pauses": pauses });
    assert_eq!(shown["governance"], wanted, "a void proposal, and an approval of a former authority, don't count");
}
