using KvStore.TestKit.Histories;
using Xunit;

namespace KvStore.Cluster.Tests.Histories;

/// <summary>Writes small histories down: each operation with its value, its moments of invocation and return, and what became of it.</summary>
internal static class Recorded
{
    public static RecordedOperation Get(long from, long to, params string[] values) => Operation(RecordedKind.Get, from, to) with { Values = values };

    public static RecordedOperation Put(string value, long from, long to) => Operation(RecordedKind.Put, from, to) with { Input = value };

    public static RecordedOperation Delete(long from, long to) => Operation(RecordedKind.Delete, from, to);

    public static RecordedOperation Cas(string? expected, string value, long from, long to) =>
        Operation(RecordedKind.CompareAndSet, from, to) with { Expected = expected, Input = value };

    public static RecordedOperation Unknown(this RecordedOperation operation) => operation with { Outcome = RecordedOutcome.Unknown };

    public static RecordedOperation NotDone(this RecordedOperation operation) => operation with { Outcome = RecordedOutcome.NotDone };

    public static RecordedOperation Mismatched(this RecordedOperation operation) => operation with { Outcome = RecordedOutcome.Mismatched };

    public static RecordedOperation HavingSeen(this RecordedOperation operation, params string[] context) => operation with { Context = context };

    public static RecordedOperation On(this RecordedOperation operation, string key) => operation with { Key = key };

    public static LinearizabilityResult Check(params RecordedOperation[] operations) => Check(new History(operations));

    public static LinearizabilityResult Check(History history, LinearizabilityOptions? options = null) =>
        LinearizabilityChecker.Check(history, options, TestContext.Current.CancellationToken);

    private static RecordedOperation Operation(RecordedKind kind, long from, long to) => new()
    {
        Client = $"c{from}",
        Key = "k",
        Kind = kind,
        Outcome = RecordedOutcome.Done,
        InvokeOrder = from,
        ReturnOrder = to,
    };
}
