using System.Text;
using FluentAssertions;
using KvStore.Core.Consensus;
using KvStore.Core.Identity;
using KvStore.Core.Replicas;
using KvStore.Core.Versioning;
using Xunit;

namespace KvStore.Core.Tests.Replicas;

/// <summary>Increments and expiries as entries of the log.</summary>
public sealed class CounterStateMachineTests
{
    private readonly ScriptedStorage _storage = new();
    private readonly ReplicaClock _clock = new();
    private KvStateMachine _machine;
    private ulong _index;

    public CounterStateMachineTests()
    {
        _clock.Set(0, 1_000);
        _machine = NewMachine();
    }

    [Fact]
    public void A_retry_is_answered_with_the_result_of_its_first_attempt_also_after_a_restart()
    {
        Increment("c", 5, sequence: 1).Counter.Should().Be(5);
        Increment("c", 7, sequence: 2).Counter.Should().Be(12);
        Increment("c", -2, sequence: 3).Counter.Should().Be(10);
        Increment("c", 5, sequence: 1).Counter.Should().Be(5);

        _machine.WriteChangedSessions();
        _machine = NewMachine();
        foreach (ScannedRecord record in _storage.Read(new ScanRequest { Tag = 1, Space = RecordSpace.Meta, MaxRecords = 100, MaxBytes = 10_000 }).Records)
        {
            _machine.Restore(record.Key.Span, record.Record);
        }

        ApplyResult again = Increment("c", 7, sequence: 2);
        (again.Outcome, again.Counter, again.Version).Should().Be((Outcome.Done, 12L, new LogIndex(2)));
        Increment("c", 8, sequence: 2).Code.Should().Be(RefusalCode.RequestReused);
        Text("c").Should().Be("10");
    }

    [Fact]
    public void A_value_that_is_no_counter_is_not_incremented_and_no_counter_leaves_its_range()
    {
        Put("c", "12");
        Increment("c", 1).Should().Match<ApplyResult>(result => result.Outcome == Outcome.NotDone && result.Code == RefusalCode.WrongType);
        Text("c").Should().Be("12");
        Apply(new ClientOperation { Kind = OperationKind.Delete, Key = Key("c") });
        Increment("c", long.MinValue).Counter.Should().Be(long.MinValue);
        Increment("c", -1).Code.Should().Be(RefusalCode.InvalidArgument);
        Text("c").Should().Be("-9223372036854775808");
        Put("c", "text again").Outcome.Should().Be(Outcome.Done);
        Text("c").Should().Be("text again");
    }

    [Fact]
    public void Totals_of_replicas_keep_their_dots_beside_the_log_s_own()
    {
        DottedObject open = DottedObject.Empty;
        foreach ((ulong actor, long total) in (ReadOnlySpan<(ulong, long)>)[(70_001, 5), (70_002, 6)])
        {
            open = open.Write(new DottedValue(new Dot(new ActorId(actor), 3), default, CounterTotal.Encode(total, new ReplicaId(actor), new RequestId(4, actor - 70_000, 0))) { Form = ValueForm.Counter });
        }

        _storage.Put(RecordSpace.Data, "c"u8, VersioningRecord(open));
        Increment("c", 10).Counter.Should().Be(21);
        Increment("c", 1).Counter.Should().Be(22);
        DottedObject held = Held("c");
        held.Values.ToArray().Select(value => value.Dot).Should().Equal(Dot.OfLog(new LogIndex(2)), new Dot(new ActorId(70_001), 3), new Dot(new ActorId(70_002), 3));

        // The retry of an increment that a replica took in the open regime.
        Apply(new ClientOperation { Kind = OperationKind.Increment, Key = Key("c"), Delta = 6, Request = new RequestId(4, 2, 0) }).Counter.Should().Be(22);
        DottedCounter.SumOf(Held("c")).Should().Be(22);
    }

    [Fact]
    public void An_expiry_removes_the_record_that_it_names_and_no_other()
    {
        Put("k", "old", ttlMs: 100, atMs: 1_000);
        Put("k", "refreshed", ttlMs: 5_000, atMs: 1_050);

        // C22: the refresh stands at index 2.
        Expire("k", record: 1, atMs: 2_000);
        Text("k").Should().Be("refreshed");
        Expire("k", record: 2, atMs: 6_049);
        Text("k").Should().Be("refreshed", "its time is not over by the clock of the entry");
        Expire("k", record: 2, atMs: 6_050);
        _storage.Find(RecordSpace.Data, "k"u8, out _).Should().Be(RecordLookup.Absent);
    }

    [Fact]
    public void An_expiry_never_touches_what_does_not_expire()
    {
        Put("k", "v", ttlMs: 100, atMs: 1_000);
        Put("k", "v", atMs: 1_050);
        Expire("k", record: 2, atMs: 9_000);
        Text("k").Should().Be("v");
    }

    [Fact]
    public void A_retry_is_the_same_request_when_the_keyspace_s_default_has_changed_and_another_when_its_own_time_has()
    {
        var put = new ClientOperation { Kind = OperationKind.Put, Key = Key("k"), Value = Key("v"), Request = new RequestId(1, 1, 0) };
        Apply(put, defaultTtlMs: 500).Outcome.Should().Be(Outcome.Done);
        Apply(put, defaultTtlMs: 900).Version.Should().Be(new LogIndex(1));
        Apply(put with { TtlMs = 500 }).Code.Should().Be(RefusalCode.RequestReused);
        OrderedRecord.Decode(Record("k")).ExpiresMs.Should().Be(1_500);
    }

    private static byte[] Key(string text) => Encoding.UTF8.GetBytes(text);

    private static byte[] VersioningRecord(DottedObject value) => Versioning.VersioningGen.Encoded(value.Encode);

    private ApplyResult Put(string key, string value, ulong ttlMs = 0, long atMs = 1_000)
        => Apply(new ClientOperation { Kind = OperationKind.Put, Key = Key(key), Value = Key(value), TtlMs = ttlMs }, atMs);

    private ApplyResult Increment(string key, long by, ulong sequence = 0)
        => Apply(new ClientOperation { Kind = OperationKind.Increment, Key = Key(key), Delta = by, Request = sequence == 0 ? RequestId.None : new RequestId(9, sequence, 0) });

    private void Expire(string key, ulong record, long atMs)
    {
        byte[] entry = new byte[WriteCommand.SizeOf(key.Length, 0)];
        WriteCommand.EncodeExpiry(entry, Key(key), new LogIndex(record), [], HybridTimestamp.FromPhysical(atMs).Packed, new Epoch(1));
        Apply(entry);
    }

    private ApplyResult Apply(in ClientOperation operation, long atMs = 1_000, ulong defaultTtlMs = 0)
    {
        byte[] entry = new byte[WriteCommand.SizeOf(operation, defaultTtlMs)];
        WriteCommand.Encode(entry, operation, LogIndex.Zero, HybridTimestamp.FromPhysical(atMs).Packed, new Epoch(1), defaultTtlMs);
        return Apply(entry);
    }

    private ApplyResult Apply(byte[] payload)
    {
        _machine.TryApply(new Entry(new Term(1), new LogIndex(++_index), EntryKind.Data, payload), out ApplyResult result).Should().BeTrue();
        return result;
    }

    private ReadOnlyMemory<byte> Record(string key)
    {
        _storage.Find(RecordSpace.Data, Key(key), out ReadOnlyMemory<byte> record).Should().Be(RecordLookup.Found);
        return record;
    }

    private DottedObject Held(string key) => DottedObject.Decode(Record(key));

    private string Text(string key) => Encoding.UTF8.GetString(OrderedRecord.Decode(Record(key)).Visible.Span);

    private KvStateMachine NewMachine() => new(_storage, OrderedShard.Regimes(_storage), new ExpiryIndex(_clock));
}
