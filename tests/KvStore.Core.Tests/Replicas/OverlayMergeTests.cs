using System.Buffers;
using System.Text;
using FluentAssertions;
using KvStore.Core.Consensus;
using KvStore.Core.Identity;
using KvStore.Core.Policy;
using KvStore.Core.Replicas;
using KvStore.Core.Replicas.Overlays;
using KvStore.Core.Versioning;
using Xunit;
using Replication = KvStore.Core.Policy.Replication;

namespace KvStore.Core.Tests.Replicas;

/// <summary>What a merge does to the state machine: counterexamples C1, C6, C10. And when a replica serves provisionally.</summary>
public class OverlayMergeTests
{
    private static readonly ActorId X = new(100_001), Y = new(100_002);

    private readonly ScriptedStorage _storage = new();
    private readonly ExpiryIndex _expiries = new(new ReplicaClock());
    private readonly KvStateMachine _machine;
    private ulong _index;

    public OverlayMergeTests() => _machine = new KvStateMachine(_storage, OrderedShard.Regimes(_storage), _expiries);

    [Fact]
    public void C1_a_merge_erases_only_what_its_frozen_context_had_seen()
    {
        Put("k", "seen");
        OverlayRecord outside = Record("k", "outside", new Dot(X, 1), seenUpTo: _index);
        Put("k", "not seen");

        Merge(outside);

        Values("k").Should().BeEquivalentTo(["not seen", "outside"]);
    }

    [Fact]
    public void A_merge_over_an_untouched_key_is_a_fast_forward_with_a_version_of_its_own()
    {
        Put("k", "seen");
        LogIndex before = Version("k");
        Merge(Record("k", "outside", new Dot(X, 1), seenUpTo: _index));

        Values("k").Should().Equal("outside");
        Version("k").Should().Be(new LogIndex(_index)).And.NotBe(before);
    }

    [Fact]
    public void A_merge_that_is_repeated_does_not_bring_back_what_was_superseded_since()
    {
        OverlayRecord outside = Record("k", "outside", new Dot(X, 1), seenUpTo: _index);
        Merge(outside);
        Put("k", "newer");

        Merge(outside);

        Values("k").Should().Equal("newer");
    }

    [Fact]
    public void A_larger_record_of_another_holder_adds_only_what_is_new_in_it()
    {
        OverlayRecord one = Record("k", "one", new Dot(X, 1), seenUpTo: _index);
        OverlayRecord other = Record("k", "other", new Dot(Y, 1), seenUpTo: _index);
        Merge(one);
        Put("k", "newer");

        Merge(OverlayRecord.Join(one, other));

        Values("k").Should().BeEquivalentTo(["newer", "other"], "the first was superseded by the put, the second was not seen by it");
    }

    [Fact]
    public void C10_a_merge_accounts_for_exactly_the_dots_of_its_records_and_merge_done_for_the_rest()
    {
        Merge(Record("a", "3", new Dot(X, 3), seenUpTo: 0));
        _machine.Accounted.Clock.Covers(new Dot(X, 3)).Should().BeTrue();
        _machine.Accounted.Clock.Covers(new Dot(X, 2)).Should().BeFalse("nobody has handed it in");

        Merge(Record("b", "2", new Dot(X, 2), seenUpTo: 0));
        Values("b").Should().Equal("2");
        MergeDone(new Dot(X, 3));
        _machine.Accounted.Clock.BaseOf(X).Should().Be(3, "the first dot was superseded, and its key is not known any more");

        Merge(Record("c", "1", new Dot(X, 1), seenUpTo: 0));
        Values("c").Should().BeEmpty("its dot is accounted for");
    }

    [Fact]
    public void C6_a_request_that_the_log_has_applied_has_no_second_effect_by_its_merge_and_the_other_way_round()
    {
        var once = new RequestId(7, 1, 0);
        var merged = new RequestId(7, 2, 0);
        Put("k", "once", once);
        Put("k", "newer");
        Merge(Record("k", "once", new Dot(X, 1), seenUpTo: 0, once), Record("m", "v", new Dot(X, 2), seenUpTo: 0, merged));
        Put("m", "v", merged);

        Values("k").Should().Equal("newer");
        _machine.Accounted.Clock.BaseOf(X).Should().Be(2, "it is accounted for all the same");
        Values("m").Should().Equal("v");
        Version("m").Should().Be(new LogIndex(_index - 1), "the put was answered as a repeat of the merge");
    }

    [Fact]
    public void C6_what_was_superseded_outside_goes_with_the_merge_although_the_log_wrote_it_for_a_retry()
    {
        var first = new RequestId(7, 1, 0);
        OverlayRecord outside = Then(Record("k", "first", new Dot(X, 1), seenUpTo: 0, first), "second", new Dot(X, 2), new RequestId(8, 1, 0));
        OverlayRecord deleted = Then(Record("d", "first", new Dot(X, 3), seenUpTo: 0, new RequestId(7, 2, 0)), null, new Dot(Y, 1));
        Put("k", "first", first);
        Put("d", "first", new RequestId(7, 2, 0));

        Merge(outside, deleted);

        Values("k").Should().Equal("second");
        Values("d").Should().BeEmpty("the delete had seen the request's first attempt");
    }

    [Fact]
    public void C6_two_requests_that_the_log_has_applied_the_other_way_round_stay_as_the_log_has_them()
    {
        RequestId first = new(7, 1, 0), second = new(8, 1, 0);
        OverlayRecord outside = Record("k", "zeroth", new Dot(Y, 1), seenUpTo: 0, new RequestId(9, 1, 0));
        outside = Then(Then(outside, "first", new Dot(X, 1), first), "second", new Dot(X, 2), second);
        Put("k", "second", second);
        Put("k", "first", first);

        Merge(outside);

        Values("k").Should().Equal(["first"], "the write that had superseded it outside came before it in the log, and has no second effect");
        _machine.Accounted.Clock.Covers(new Dot(Y, 1)).Should().BeTrue("it is accounted for all the same");
    }

    [Fact]
    public void C6_a_delete_that_the_log_has_applied_before_removes_nothing_that_came_later()
    {
        RequestId put = new(7, 1, 0), delete = new(8, 1, 0);
        OverlayRecord outside = Record("k", "zeroth", new Dot(Y, 1), seenUpTo: 0);
        outside = Then(Then(outside, "v", new Dot(X, 1), put), null, new Dot(X, 2), delete);
        Apply(Command("k", null, delete));
        Put("k", "v", put);

        Merge(outside);

        Values("k").Should().Equal("v");
    }

    [Fact]
    public void C6_where_a_record_does_not_tell_what_superseded_a_retried_write_its_value_stays()
    {
        RequestId first = new(7, 1, 0), second = new(8, 1, 0);
        OverlayRecord one = Then(Record("k", "first", new Dot(X, 1), seenUpTo: 0, first), "second", new Dot(X, 2), second);
        OverlayRecord other = Record("k", "other", new Dot(Y, 1), seenUpTo: 0);
        Put("k", "second", second);
        Put("k", "first", first);

        Merge(OverlayRecord.Join(one, other));

        Values("k").Should().BeEquivalentTo(["first", "other"], "the other one had not seen the first");
    }

    [Fact]
    public void C6_a_write_goes_that_its_own_replica_superseded_whatever_became_of_an_older_one()
    {
        RequestId first = new(7, 1, 0), second = new(8, 1, 0);
        OverlayRecord outside = Record("k", "first", new Dot(X, 1), seenUpTo: 0, first);
        outside = Then(Then(outside, "second", new Dot(Y, 1), second), "third", new Dot(Y, 2));
        Put("k", "first", first);
        Put("k", "second", second);

        Merge(outside);

        Values("k").Should().Equal("third");
    }

    [Fact]
    public void A_delete_outside_the_log_removes_what_it_had_seen_and_nothing_newer()
    {
        Put("old", "v");
        Put("renewed", "v");
        ulong seen = _index;
        Put("renewed", "newer");

        Merge(Deletion("old", new Dot(X, 1), seen), Deletion("renewed", new Dot(X, 2), seen));

        Values("old").Should().BeEmpty();
        Values("renewed").Should().Equal("newer");
    }

    [Theory]
    [InlineData(OperationKind.Put)]
    [InlineData(OperationKind.Delete)]
    public void What_a_merged_record_had_superseded_does_not_come_back_although_the_log_overwrites_the_record_before_it_comes(OperationKind last)
    {
        OverlayRecord late = Record("k", "superseded", new Dot(Y, 2), seenUpTo: 0);
        Merge(Superseding(late, "by who had read it", new Dot(X, 1)));
        Put("k", "ordered");
        Apply(Command("k", last == OperationKind.Put ? "last" : null, default));

        Merge(late);

        Values("k").Should().Equal(last == OperationKind.Put ? ["last"] : []);
    }

    [Fact]
    public void What_was_superseded_does_not_come_back_when_what_superseded_it_has_expired()
    {
        OverlayRecord late = Record("k", "superseded", new Dot(Y, 2), seenUpTo: 0);
        Merge(Superseding(late, "for a moment", new Dot(X, 1), expiresMs: 1));

        Expire("k", new Dot(X, 1), atMs: 2);
        Values("k").Should().BeEmpty();
        Merge(late);

        Values("k").Should().BeEmpty();
    }

    [Fact]
    public void A_counter_that_begins_where_something_was_superseded_expires_all_the_same()
    {
        OverlayRecord late = Record("k", "superseded", new Dot(Y, 2), seenUpTo: 0);
        Merge(Superseding(late, null, new Dot(X, 1)));
        Increment("k", ttlMs: 100);

        _expiries.Count.Should().Be(1);
    }

    [Fact]
    public void Once_what_contexts_name_has_come_or_is_given_up_the_log_writes_without_looking_at_what_was_there()
    {
        OverlayRecord late = Record("k", "superseded", new Dot(Y, 2), seenUpTo: 0);
        Merge(Superseding(late, "by who had read it", new Dot(X, 1)));
        _machine.Accounted.Beyond.Should().Be(VersionVector.Of(new Dot(Y, 2)));
        _machine.Accounted.HasGaps.Should().BeTrue();
        Restored().HasGaps.Should().BeTrue("the view says so");

        Merge(late);
        _machine.Accounted.HasGaps.Should().BeTrue("the first dot is missing");
        MergeDone(new Dot(Y, 2));

        _machine.Accounted.HasGaps.Should().BeFalse();
        Restored().HasGaps.Should().BeFalse("the view says so");
        Put("k", "ordered");
        _storage.Find(RecordSpace.Data, "k"u8, out ReadOnlyMemory<byte> record);
        OrderedRecord.IsOrdered(record.Span).Should().BeTrue();
    }

    [Fact]
    public void An_order_says_what_the_contexts_in_its_data_name_and_takes_the_place_of_what_was_known_before()
    {
        var clock = new ShardClock();
        clock.AdvanceBase(X, 3);
        VersionVector beyond = VersionVector.Of(new Dot(Y, 5));
        var order = new RegimeEntry(RegimeStep.Order, new Epoch(2), new KeyspaceMode(PartitionChoice.Cp, Replication.Sync), new Baseline(clock, 1, 2, beyond));

        RegimeEntry decoded = RegimeEntry.Decode(order.Encode());
        decoded.Baseline!.Beyond.Should().Be(beyond);
        FluentActions.Invoking(() => RegimeEntry.Decode(order.Encode().AsMemory()[..^1])).Should().Throw<MalformedRecordException>();

        var accounted = new AccountedDots();
        accounted.Replace(decoded.Baseline.Clock, decoded.Baseline.Beyond);
        accounted.HasGaps.Should().BeTrue();
        accounted.AdvanceTo(new Dot(Y, 4));
        accounted.HasGaps.Should().BeTrue();
        accounted.Replace(clock, VersionVector.Empty);
        accounted.HasGaps.Should().BeFalse();
    }

    [Fact]
    public void Contexts_that_name_actors_without_end_cost_no_more_than_a_bound()
    {
        AccountedDots accounted = _machine.Accounted;
        for (ulong actor = 0; actor <= AccountedDots.MaxNamed; actor++)
        {
            accounted.NoteContext(VersionVector.Of(new Dot(new ActorId(100_000 + actor), 1)));
        }

        accounted.Beyond.Count.Should().Be(1);
        Restored().HasGaps.Should().BeTrue();
        for (ulong actor = 0; actor <= AccountedDots.MaxNamed; actor++)
        {
            accounted.AdvanceTo(new Dot(new ActorId(100_000 + actor), 1));
        }

        accounted.HasGaps.Should().BeTrue("nobody knows any more what else there was");
        accounted.Replace(new ShardClock(), VersionVector.Empty);
        accounted.HasGaps.Should().BeFalse();
    }

    [Fact]
    public void A_flapping_link_does_not_toss_a_replica_to_and_fro()
    {
        var contact = new LeaderContact(2_000);
        contact.Start(0);
        long heardMs = 0;
        for (long nowMs = 0; nowMs < 120_000; nowMs += 25)
        {
            // Heard for 700 ms, then silence for 2.5 s.
            heardMs = nowMs % 3_200 < 700 ? nowMs : heardMs;
            contact.Look(nowMs, heardMs, leads: false);
        }

        contact.Episodes.Should().BeLessThanOrEqualTo(2, "each return takes longer than the one before");
        contact.IsProvisional.Should().BeTrue();
        for (long nowMs = 120_000; nowMs < 130_000; nowMs += 25)
        {
            contact.Look(nowMs, nowMs, leads: false);
        }

        contact.IsProvisional.Should().BeFalse("lasting contact ends it");
    }

    [Fact]
    public void A_replica_that_leads_with_a_quorum_returns_at_once()
    {
        var contact = new LeaderContact(2_000);
        contact.Start(0);
        contact.Look(2_000, 0, leads: false).Should().BeTrue();
        contact.IsProvisional.Should().BeTrue();
        contact.Look(2_025, 2_025, leads: true).Should().BeTrue();
        contact.IsProvisional.Should().BeFalse();
    }

    [Fact]
    public void Another_provisional_after_counts_from_when_it_is_set_and_ends_no_episode()
    {
        var contact = new LeaderContact(2_000);
        contact.Start(0);
        contact.AfterMs = 8_000;
        contact.Look(7_975, 0, leads: false).Should().BeFalse();
        contact.AfterMs = 1_000;
        contact.Look(8_000, 0, leads: false).Should().BeTrue("the silence is longer than what is allowed now");
        contact.AfterMs = 60_000;
        contact.Look(8_025, 0, leads: false).Should().BeFalse();
        contact.IsProvisional.Should().BeTrue("what has begun goes on until there is contact");
    }

    [Fact]
    public void Only_one_second_to_one_hour_may_pass_before_provisional_service()
    {
        ProvisionalAfter.Default.Fault.Should().BeNull();
        new ProvisionalAfter(999).Fault.Should().Contain("1000");
        new ProvisionalAfter(3_600_001).Fault.Should().NotBeNull();
    }

    private static OverlayRecord Record(string key, string value, Dot dot, ulong seenUpTo, RequestId request = default)
    {
        DottedObject written = DottedObject.Gone(Seen(seenUpTo)).Write(dot, Encoding.UTF8.GetBytes(value), new HybridTimestamp(dot.Counter));
        byte[] command = Command(key, value, request);
        return new OverlayRecord(
            Key.FromText(key), written, [dot], request.IsNone ? [] : [new OverlayRequest(dot, request, WriteCommand.Decode(command).PayloadHash)], new Epoch(1), 1);
    }

    /// <summary>A record with one write more, by someone who had seen all of it. No value: a delete.</summary>
    private static OverlayRecord Then(OverlayRecord held, string? value, Dot dot, RequestId request = default)
    {
        ReadOnlyMemory<byte>? bytes = value is null ? default(ReadOnlyMemory<byte>?) : Encoding.UTF8.GetBytes(value);
        DottedObject written = DottedObject.Gone(held.Object.Context).Write(dot, bytes, new HybridTimestamp(dot.Counter));
        uint payloadHash = WriteCommand.Decode(Command(held.Key.ToString(), value, request)).PayloadHash;
        IEnumerable<OverlayRequest> requests = request.IsNone ? [] : [new OverlayRequest(dot, request, payloadHash)];
        return new OverlayRecord(held.Key, written, [.. held.Dots.ToArray(), dot], [.. held.Requests.ToArray(), .. requests], new Epoch(1), held.SinceMs);
    }

    /// <summary>What somebody writes elsewhere who had read a record that does not come with it. No value: a delete.</summary>
    private static OverlayRecord Superseding(OverlayRecord read, string? value, Dot dot, ulong expiresMs = 0)
    {
        DottedObject seen = DottedObject.Gone(read.Object.Context);
        DottedObject written = value is null
            ? seen.Write(dot, null, new HybridTimestamp(1))
            : seen.Write(new DottedValue(dot, new HybridTimestamp(1), Encoding.UTF8.GetBytes(value)) { ExpiresMs = expiresMs });
        return new OverlayRecord(read.Key, written, [dot], [], new Epoch(1), 1);
    }

    private static OverlayRecord Deletion(string key, Dot dot, ulong seenUpTo) =>
        new(Key.FromText(key), DottedObject.Gone(Seen(seenUpTo)).Write(dot, null, new HybridTimestamp(1)), [dot], [], new Epoch(1), 1);

    private static VersionVector Seen(ulong upTo) => upTo == 0 ? VersionVector.Empty : VersionVector.Of(Dot.OfLog(new LogIndex(upTo)));

    /// <summary>No value: a delete.</summary>
    private static byte[] Command(string key, string? value, RequestId request)
    {
        byte[] bytes = Encoding.UTF8.GetBytes(value ?? "");
        byte[] command = new byte[WriteCommand.SizeOf(key.Length, bytes.Length)];
        var operation = new ClientOperation { Kind = value is null ? OperationKind.Delete : OperationKind.Put, Key = Encoding.UTF8.GetBytes(key), Value = bytes, Request = request };
        WriteCommand.Encode(command, operation, LogIndex.Zero, 1, new Epoch(1));
        return command;
    }

    private void Put(string key, string value, RequestId request = default) => Apply(Command(key, value, request));

    private void Expire(string key, Dot dot, long atMs)
    {
        var dots = new ArrayBufferWriter<byte>();
        VarInt.WriteDot(dots, dot);
        byte[] entry = new byte[WriteCommand.SizeOf(key.Length, dots.WrittenCount)];
        WriteCommand.EncodeExpiry(entry, Encoding.UTF8.GetBytes(key), LogIndex.Zero, dots.WrittenSpan, HybridTimestamp.FromPhysical(atMs).Packed, new Epoch(1));
        Apply(entry);
    }

    private void Increment(string key, ulong ttlMs)
    {
        var operation = new ClientOperation { Kind = OperationKind.Increment, Key = Encoding.UTF8.GetBytes(key), Delta = 1, TtlMs = ttlMs };
        byte[] command = new byte[WriteCommand.SizeOf(operation, 0)];
        WriteCommand.Encode(command, operation, LogIndex.Zero, 1, new Epoch(1), 0);
        Apply(command);
    }

    /// <summary>As after a restart.</summary>
    private AccountedDots Restored()
    {
        _machine.WriteChangedSessions();
        _storage.Find(RecordSpace.Meta, AccountedDots.MetaKey, out ReadOnlyMemory<byte> record).Should().Be(RecordLookup.Found);
        var restored = new AccountedDots();
        restored.Restore(record);
        restored.Beyond.Should().Be(_machine.Accounted.Beyond);
        AccountedDots.ReadClock(record).Should().Be(_machine.Accounted.Clock);
        return restored;
    }

    private void Merge(params OverlayRecord[] records)
    {
        foreach (OverlayRecord record in records)
        {
            Apply(MergeCommand.Compose(MergeCommand.MergeKind, Encoded(record).Span, 1, new Epoch(1)));
        }
    }

    private void MergeDone(Dot upTo)
    {
        var body = new ArrayBufferWriter<byte>();
        MergeCommand.EncodeDone(body, [upTo]);
        Apply(MergeCommand.Compose(MergeCommand.DoneKind, body.WrittenSpan, 1, new Epoch(1)));
    }

    private static ReadOnlyMemory<byte> Encoded(OverlayRecord record)
    {
        var output = new ArrayBufferWriter<byte>();
        record.Encode(output);
        OverlayRecord.Decode(output.WrittenMemory).Dots.ToArray().Should().Equal(record.Dots.ToArray());
        return output.WrittenMemory;
    }

    private void Apply(byte[] payload) => _machine.TryApply(new Entry(new Term(1), new LogIndex(++_index), EntryKind.Data, payload), out _).Should().BeTrue();

    private IEnumerable<string> Values(string key) => _storage.Find(RecordSpace.Data, Encoding.UTF8.GetBytes(key), out ReadOnlyMemory<byte> record) == RecordLookup.Found
        ? DottedObject.Decode(record).Values.ToArray().Select(value => Encoding.UTF8.GetString(value.Value.Span))
        : [];

    private LogIndex Version(string key)
    {
        _storage.Find(RecordSpace.Data, Encoding.UTF8.GetBytes(key), out ReadOnlyMemory<byte> record);
        return KvStateMachine.VersionOf(record, LogIndex.Zero);
    }
}
