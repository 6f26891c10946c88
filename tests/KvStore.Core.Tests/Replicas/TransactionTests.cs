using System.Text;
using FluentAssertions;
using KvStore.Core.Consensus;
using KvStore.Core.Identity;
using KvStore.Core.Replicas;
using KvStore.Core.Replicas.Transactions;
using KvStore.Core.Versioning;
using Xunit;

namespace KvStore.Core.Tests.Replicas;

/// <summary>Transactions as entries of the log: what applying one does, and what is remembered of it.</summary>
public sealed class TransactionTests
{
    private readonly ScriptedStorage _storage = new();
    private readonly ReplicaClock _clock = new();
    private KvStateMachine _machine;
    private ulong _index;

    public TransactionTests()
    {
        _clock.Set(0, 1_000);
        _machine = NewMachine();
    }

    [Fact]
    public void When_all_comparisons_hold_every_step_of_then_is_done_and_none_of_otherwise()
    {
        LogIndex a = Put("a", "1").Version;
        Put("b", "2");

        ApplyResult result = Transact(
            [Compare(ComparisonKind.VersionIs, "a", RecordVersions.Encode(a)), Compare(ComparisonKind.ValueIs, "b", "2"), Compare(ComparisonKind.Exists, "b"), Compare(ComparisonKind.Absent, "c")],
            [PutOf("a", "10"), PutOf("c", "30"), DeleteOf("b")],
            [PutOf("d", "40")]);

        result.Outcome.Should().Be(Outcome.Done);
        result.Transaction!.Held.Should().BeTrue();
        result.Version.Should().Be(new LogIndex(_index));
        Shown("a", "b", "c", "d").Should().Equal("10", "-", "30", "-");
        result.Transaction.Steps.Select(step => Convert.ToHexString(step.Version.Span)).Should().Equal(HexOf(_index), HexOf(_index), "");
    }

    [Theory]
    [InlineData(ComparisonKind.Exists, "none", "")]
    [InlineData(ComparisonKind.Absent, "a", "")]
    [InlineData(ComparisonKind.ValueIs, "a", "2")]
    [InlineData(ComparisonKind.ValueIs, "none", "")]
    public void One_comparison_that_does_not_hold_is_enough_for_otherwise(ComparisonKind kind, string key, string operand)
    {
        Put("a", "1");
        ApplyResult result = Transact([Compare(ComparisonKind.Exists, "a"), Compare(kind, key, operand)], [PutOf("a", "then")], [GetOf("a")]);
        result.Transaction!.Held.Should().BeFalse();
        Text(result.Transaction.Steps[0]).Should().Be("1");
        Shown("a").Should().Equal("1");
    }

    [Fact]
    public void A_version_that_has_passed_does_not_hold_and_neither_does_one_of_an_absent_key()
    {
        LogIndex old = Put("a", "1").Version;
        Put("a", "1");
        Comparison passed = Compare(ComparisonKind.VersionIs, "a", RecordVersions.Encode(old));
        Transact([passed], [PutOf("a", "2")], []).Transaction!.Held.Should().BeFalse();
        Transact([passed with { Key = Key.FromText("none") }], [PutOf("a", "2")], []).Transaction!.Held.Should().BeFalse();
    }

    [Fact]
    public void Steps_are_done_in_order_so_a_get_sees_the_writes_before_it_and_not_those_behind()
    {
        LogIndex before = Put("a", "old").Version;
        ApplyResult result = Transact([], [GetOf("a"), PutOf("a", "new"), GetOf("a"), GetOf("b"), DeleteOf("b"), GetOf("b"), PutOf("c", "x", 500), GetOf("c")], []);
        IReadOnlyList<StepAnswer> steps = result.Transaction!.Steps;
        Text(steps[0]).Should().Be("old");
        Convert.ToHexString(steps[0].Version.Span).Should().Be(HexOf(before.Value));
        Text(steps[2]).Should().Be("new");
        Convert.ToHexString(steps[2].Version.Span).Should().Be(HexOf(_index));
        steps[3].Found.Should().BeFalse();
        steps[5].Found.Should().BeFalse();
        steps[7].ExpiresMs.Should().Be(1_500);
    }

    [Fact]
    public void Values_expire_as_those_of_single_puts_do()
    {
        Transact([], [PutOf("own", "v", 500), PutOf("default", "v"), PutOf("never", "v", ClientOperation.NoExpiry)], [], defaultTtlMs: 700);
        OrderedRecord.Decode(Record("own")).ExpiresMs.Should().Be(1_500);
        OrderedRecord.Decode(Record("default")).ExpiresMs.Should().Be(1_700);
        OrderedRecord.Decode(Record("never")).ExpiresMs.Should().Be(0);
    }

    [Fact]
    public void A_retry_has_no_second_effect_and_the_same_answer_also_after_a_snapshot()
    {
        Put("a", "1");
        ApplyResult first = Transact([Compare(ComparisonKind.ValueIs, "a", "1")], [GetOf("a"), PutOf("a", "2")], [], sequence: 1);
        Put("a", "3");
        List<ScannedRecord> remembered = _machine.DescribeRequests();
        _machine = NewMachine();
        _machine.ReplaceRequests(remembered);

        ApplyResult again = Transact([Compare(ComparisonKind.ValueIs, "a", "1")], [GetOf("a"), PutOf("a", "2")], [], sequence: 1);

        again.Version.Should().Be(first.Version);
        again.Transaction!.Held.Should().BeTrue();
        Text(again.Transaction.Steps[0]).Should().Be("1");
        Shown("a").Should().Equal("3");
        Transact([Compare(ComparisonKind.ValueIs, "a", "1")], [GetOf("a"), PutOf("a", "other")], [], sequence: 1).Code.Should().Be(RefusalCode.RequestReused);
        Transact([], [PutOf("z", "1")], [], sequence: 2, floor: 1).Outcome.Should().Be(Outcome.Done);
        Transact([Compare(ComparisonKind.ValueIs, "a", "1")], [GetOf("a"), PutOf("a", "2")], [], sequence: 1).Outcome.Should().Be(Outcome.Unknown);
    }

    [Fact]
    public void What_would_answer_too_much_has_no_effect()
    {
        Put("a", new string('x', 600_000));
        Put("b", new string('x', 600_000));
        ApplyResult result = Transact([], [GetOf("a"), PutOf("c", "1"), GetOf("b")], [], sequence: 1);
        result.Outcome.Should().Be(Outcome.NotDone);
        result.Code.Should().Be(RefusalCode.TooLarge);
        Shown("c").Should().Equal("-");
    }

    [Fact]
    public void The_answers_that_are_remembered_are_bounded_and_a_retry_of_a_forgotten_one_is_unknown()
    {
        Put("a", new string('x', 1_000_000));
        for (ulong sequence = 1; sequence <= 6; sequence++)
        {
            Transact([], [GetOf("a"), PutOf($"k{sequence}", "1")], [], sequence);
        }

        ApplyResult forgotten = Transact([], [GetOf("a"), PutOf("k1", "1")], [], sequence: 1);
        forgotten.Outcome.Should().Be(Outcome.Unknown);
        forgotten.Code.Should().Be(RefusalCode.RequestExpired);
        Transact([], [GetOf("a"), PutOf("k6", "1")], [], sequence: 6).Transaction!.Steps[0].Value.Length.Should().Be(1_000_000);
        _machine.DescribeRequests().Sum(record => (long)record.Record.Length).Should().BeLessThan(RememberedAnswers.MaxBytes + 10_000);

        // A replica that gets the state by a snapshot forgets the same ones next.
        KvStateMachine other = NewMachine();
        other.ReplaceRequests(_machine.DescribeRequests());
        KvStateMachine first = _machine;
        ulong index = _index;
        Transact([], [GetOf("a")], [], sequence: 7);
        (_machine, _index) = (other, index);
        Transact([], [GetOf("a")], [], sequence: 7);
        other.SumOfRequests().Should().Be(first.SumOfRequests());
    }

    [Fact]
    public void Records_that_are_only_on_the_disk_are_loaded_one_by_one_before_anything_changes()
    {
        Put("a", "1");
        Put("b", "2");
        var cold = new ColdStorage(_storage);
        _machine = new KvStateMachine(cold, OrderedShard.Regimes(cold), new ExpiryIndex(_clock));
        Entry entry = EntryOf(new Transaction([Compare(ComparisonKind.Exists, "a")], [PutOf("a", "new"), GetOf("b")], []), 0, 0, 0);
        List<string> missed = [];
        ApplyResult result;
        while (!_machine.TryApply(entry, out result))
        {
            missed.Add(Encoding.UTF8.GetString(_machine.MissingKeyOf(entry).Span));
            Shown("a").Should().Equal("1");

            // There is room for one record only: the one that was loaded before goes.
            cold.Resident = missed[^1];
        }

        missed.Should().Equal("a", "b");
        Text(result.Transaction!.Steps[1]).Should().Be("2");
        Shown("a").Should().Equal("new");
    }

    [Fact]
    public void A_transaction_survives_its_encoding()
    {
        Transaction transaction = new(
            [Compare(ComparisonKind.ValueIs, "a", "1"), Compare(ComparisonKind.Absent, "b")], [PutOf("a", "", 7), PutOf("c", "v", ClientOperation.NoExpiry)], [GetOf("x"), DeleteOf("y")]);
        Transaction.Decode(transaction.Encode()).Encode().Should().Equal(transaction.Encode());
        Transaction.Decode(transaction.Encode()).FindFault().Should().BeNull();
        byte[] encoded = transaction.Encode();
        for (int length = 0; length < encoded.Length; length++)
        {
            FluentActions.Invoking(() => Transaction.Decode(encoded.AsMemory(0, length))).Should().Throw<MalformedRecordException>();
        }
    }

    [Fact]
    public void A_bad_transaction_is_told_from_a_good_one()
    {
        new Transaction([], [], []).FindFault().Should().Contain("1 to 128");
        new Transaction([], [.. Enumerable.Range(0, 129).Select(i => PutOf($"k{i}", "v"))], []).FindFault().Should().Contain("129");
        new Transaction([], [PutOf("k", "1"), DeleteOf("k")], []).FindFault().Should().Contain("twice");
        new Transaction([], [PutOf("k", "1"), GetOf("k")], [PutOf("k", "2")]).FindFault().Should().BeNull();
        new Transaction([], [new TransactionStep(OperationKind.Increment, Key.FromText("k"))], []).FindFault().Should().Contain("gets, puts and deletes");
        new Transaction([Compare(ComparisonKind.VersionIs, "k")], [], []).FindFault().Should().Contain("absent");
        new Transaction([new Comparison((ComparisonKind)9, Key.FromText("k"))], [], []).FindFault().Should().Contain("9");
    }

    private static Comparison Compare(ComparisonKind kind, string key, string operand = "") => new(kind, Key.FromText(key), Encoding.UTF8.GetBytes(operand));

    private static Comparison Compare(ComparisonKind kind, string key, byte[] operand) => new(kind, Key.FromText(key), operand);

    private static TransactionStep PutOf(string key, string value, ulong ttlMs = 0) => new(OperationKind.Put, Key.FromText(key), Encoding.UTF8.GetBytes(value), ttlMs);

    private static TransactionStep GetOf(string key) => new(OperationKind.Get, Key.FromText(key));

    private static TransactionStep DeleteOf(string key) => new(OperationKind.Delete, Key.FromText(key));

    private static string Text(StepAnswer step) => step.Found ? Encoding.UTF8.GetString(step.Value.Span) : "-";

    private static string HexOf(ulong index) => Convert.ToHexString(RecordVersions.Encode(new LogIndex(index)));

    private ApplyResult Put(string key, string value) => Transact([], [PutOf(key, value)], []);

    private ApplyResult Transact(Comparison[] comparisons, TransactionStep[] then, TransactionStep[] otherwise, ulong sequence = 0, ulong floor = 0, ulong defaultTtlMs = 0)
    {
        Entry entry = EntryOf(new Transaction(comparisons, then, otherwise), sequence, floor, defaultTtlMs);
        _machine.TryApply(entry, out ApplyResult result).Should().BeTrue();
        return result;
    }

    private Entry EntryOf(Transaction transaction, ulong sequence, ulong floor, ulong defaultTtlMs)
    {
        var operation = new ClientOperation
        {
            Kind = OperationKind.Transaction,
            Key = transaction.Keys.First().Bytes,
            Value = transaction.Encode(),
            Request = sequence == 0 ? RequestId.None : new RequestId(9, sequence, floor),
        };
        byte[] payload = new byte[WriteCommand.SizeOf(operation, defaultTtlMs)];
        WriteCommand.Encode(payload, operation, LogIndex.Zero, HybridTimestamp.FromPhysical(1_000).Packed, new Epoch(1), defaultTtlMs);
        return new Entry(new Term(1), new LogIndex(++_index), EntryKind.Data, payload);
    }

    private ReadOnlyMemory<byte> Record(string key)
    {
        _storage.Find(RecordSpace.Data, Encoding.UTF8.GetBytes(key), out ReadOnlyMemory<byte> record);
        return record;
    }

    private IEnumerable<string> Shown(params string[] keys) =>
        keys.Select(key => Record(key) is { IsEmpty: false } record ? Encoding.UTF8.GetString(OrderedRecord.Decode(record).Visible.Span) : "-");

    private KvStateMachine NewMachine() => new(_storage, OrderedShard.Regimes(_storage), new ExpiryIndex(_clock));
}
