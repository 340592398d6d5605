//! Names of things after 2^32 of them: none is given twice at once.

use super::world::{World, small};
use avpu_proto::reply::Reply;
use avpu_proto::request::{RegisterRegion, Request, ReturnLease, Unsubscribe};
use avpu_proto::types::{Address, ChannelId, Join, SubscriptionId};

#[test]
fn nothing_gets_the_number_of_something_that_is_still_there() {
    let mut world = World::new();
    let (app, channel, address) = world.ready_channel(1);
    let first = world.subscribe(app, channel, Join::NextIdr, 1);
    // As after going round.
    world.broker.channel_next = channel;
    world.broker.subscription_next = first.subscription;
    world.broker.sources.begin_anew();
    let other = world.connect(2);
    let opened = world.open(other, small());
    assert_ne!(opened.channel, channel);
    let second = world.subscribe(other, channel, Join::NextIdr, 1);
    assert_ne!(second.subscription, first.subscription);
    let lease = world.lease(other, opened.channel, 1);
    assert_ne!(lease.buffers[0].address, address);
    let returned = ReturnLease { lease: lease.lease };
    assert_eq!(
        world.ask(other, Request::ReturnLease(returned)),
        Reply::Done
    );
    let leave = Unsubscribe {
        subscription: second.subscription,
    };
    assert_eq!(world.ask(other, Request::Unsubscribe(leave)), Reply::Done);
    world.submit(app, channel, address);
    world.finish(1000, 100);
    assert_eq!(world.packets(app).len(), 1, "the first reader still reads");
}

#[test]
fn zero_names_nothing() {
    let mut world = World::new();
    world.broker.channel_next = ChannelId::new(0);
    world.broker.subscription_next = SubscriptionId::new(0);
    let (app, channel, _) = world.ready_channel(1);
    assert_ne!(channel.value(), 0);
    let subscribed = world.subscribe(app, channel, Join::NextIdr, 1);
    assert_ne!(subscribed.subscription.value(), 0);
    let raw = world.connect(0);
    let window = super::world::WINDOW + 0x1_0000;
    let region = RegisterRegion {
        address: Address::new(window),
        len_bytes: 0x1000,
    };
    let Reply::RegionRegistered(registered) = world.ask(raw, Request::RegisterRegion(region))
    else {
        panic!("expected a region");
    };
    assert_ne!(registered.region.value(), 0);
}
