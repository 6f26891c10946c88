using KvStore.Core.Identity;
using KvStore.Core.Replicas;
using KvStore.Simulator.Clients;
using KvStore.Simulator.Engine;

namespace KvStore.Simulator.Checks;

/// <summary>
/// In a sync keyspace, a write that was acknowledged at an index is what stands in the log at that index for ever: compared when it is acknowledged or applied, whichever comes later.
/// </summary>
internal sealed class AcknowledgedWritesStay
{
    private const string Name = nameof(AcknowledgedWritesStay);

    private readonly Dictionary<LogIndex, uint> _applied = [];
    private readonly Dictionary<LogIndex, (uint Write, string Call)> _acknowledged = [];

    public void OnCommitted(LogIndex index, in LoggedEntry entry)
    {
        _applied[index] = entry.Write;
        if (_acknowledged.TryGetValue(index, out (uint Write, string Call) acknowledged) && acknowledged.Write != entry.Write)
        {
            Fail(index, acknowledged.Call);
        }
    }

    public void OnAcknowledged(OrderedCall call, LogIndex version)
    {
        uint write = HashOf(call);
        bool isOther = (_applied.TryGetValue(version, out uint applied) && applied != write)
            || (_acknowledged.TryGetValue(version, out (uint Write, string Call) known) && known.Write != write);
        if (isOther)
        {
            Fail(version, call.ToString());
        }

        _acknowledged[version] = (write, call.ToString());
    }

    /// <summary>At the end, when all replicas have applied the same.</summary>
    public void CheckEnd(LogIndex newest)
    {
        foreach ((LogIndex version, (_, string call)) in _acknowledged)
        {
            if (version > newest)
            {
                throw new SimulationFailedException(Name, $"A write was acknowledged at {version}, and the log ends at {newest}: {call}.");
            }
        }
    }

    private static uint HashOf(OrderedCall call)
    {
        ReadOnlyMemory<byte> key = ClientKeys.Bytes(call.Key);
        ReadOnlyMemory<byte> value = call.Input is null ? default : ClientKeys.Value(call.Input, call.Padding);
        byte[] command = new byte[WriteCommand.SizeOf(key.Length, value.Length)];
        var operation = new ClientOperation { Kind = call.Kind, Condition = call.Condition, Key = key, Value = value };
        WriteCommand.Encode(command, operation, call.Version, 0, default);
        return WriteCommand.Decode(command).PayloadHash;
    }

    private static void Fail(LogIndex version, string call) =>
        throw new SimulationFailedException(Name, $"A write was acknowledged at {version}, where another one stands: {call}.");
}
