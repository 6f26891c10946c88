using System.Text;
using KvStore.Core.Replicas;
using KvStore.Core.Versioning;
using KvStore.Simulator.Engine;
using KvStore.Simulator.Nodes;

namespace KvStore.Simulator.Checks;

/// <summary>
/// Looks into all views, again and again, until none of them holds a value under a key that expires. What a replica doesn't have in memory need not be gone: it is read from the disk.
/// </summary>
internal sealed class ExpiredValuesGo(Timeline timeline, Func<IReadOnlyList<SimulatedNode>> nodes)
{
    private const long AgainUs = 50_000;

    private int _reading;
    private bool _isAnyLeft;

    public bool AreGone { get; private set; }

    public void Look()
    {
        _isAnyLeft = false;
        _reading = 1;
        foreach (SimulatedNode node in nodes())
        {
            RecordLookup[] found = [.. Enumerable.Range(0, TypedLedger.ExpiringKeys).Select(key => LookInMemory(node, key))];
            if (found.Contains(RecordLookup.Found))
            {
                _isAnyLeft = true;
            }
            else if (found.Contains(RecordLookup.NotResident))
            {
                _reading++;
                node.Dump(records =>
                {
                    _isAnyLeft |= records.Any(Expires);
                    EndOne();
                });
            }
        }

        EndOne();
    }

    /// <summary>Found: with a value in it, and not only what is left of one.</summary>
    private static RecordLookup LookInMemory(SimulatedNode node, int key)
    {
        RecordLookup found = node.View!.Find(RecordSpace.Data, Encoding.UTF8.GetBytes(TypedLedger.ExpiringKey(key)), out ReadOnlyMemory<byte> record);
        return found == RecordLookup.Found && DottedObject.Decode(record).IsEmpty ? RecordLookup.Absent : found;
    }

    private static bool Expires(ScannedRecord record) =>
        record.Space == RecordSpace.Data
        && Enumerable.Range(0, TypedLedger.ExpiringKeys).Any(key => Encoding.UTF8.GetString(record.Key.Span) == TypedLedger.ExpiringKey(key))
        && !DottedObject.Decode(record.Record).IsEmpty;

    private void EndOne()
    {
        if (--_reading > 0)
        {
            return;
        }

        AreGone = !_isAnyLeft;
        if (_isAnyLeft)
        {
            timeline.After(AgainUs, Look);
        }
    }
}
