using System.Text;
using KvStore.Core.Identity;
using KvStore.Core.Replicas.Overlays;
using KvStore.Core.Versioning;
using KvStore.Simulator.Clients;
using KvStore.Simulator.Engine;

namespace KvStore.Simulator.Checks;

/// <summary>
/// Every provisional write that was acknowledged is merged, or was superseded before by another of its kind; and a merge erases only what the writer had seen when it wrote. Knows what stood in any
/// overlay from the log records of the overlays.
/// </summary>
internal sealed class OverlayWatch
{
    private const byte RecordMark = 1;

    private readonly HashSet<Dot> _superseded = [];
    private readonly HashSet<string> _applied = [];
    private readonly Dictionary<string, HashSet<Dot>> _outside = [];
    private readonly HashSet<(string Key, LogIndex Version)> _merged = [];
    private readonly Dictionary<string, VersionVector> _contexts = [];
    private readonly List<(string Value, Dot Dot)> _acknowledged = [];
    private readonly List<string> _answeredByMerge = [];

    /// <summary>A key has got new values by a merge, at a replica that is the first to apply it: the key, and its values as one text.</summary>
    public Action<string, string> OnMerged { get; set; } = (_, _) => { };

    /// <summary>Provisional writes that were acknowledged.</summary>
    public int Acknowledged => _acknowledged.Count;

    public int Merges => _merged.Count;

    /// <summary>All values of a key as one text, the same however they are ordered.</summary>
    public static string TextOf(IEnumerable<ReadOnlyMemory<byte>> values) => string.Join('|', values.Select(ClientKeys.TextOf).Order(StringComparer.Ordinal));

    public void OnAcknowledged(string value, ReadOnlyMemory<byte> version) => _acknowledged.Add((value, ObjectVersion.Decode(version).LiveDots[0]));

    /// <summary>A retry was answered by the log, with the index of the entry that merged an earlier attempt.</summary>
    /// <param name="value">What was put; null: it was a delete.</param>
    public void OnAnsweredByMerge(string? value)
    {
        if (value is not null)
        {
            _answeredByMerge.Add(value);
        }
    }

    public void OnWritten(byte[] logRecord)
    {
        if (logRecord[0] != RecordMark)
        {
            return;
        }

        OverlayRecord record = OverlayRecord.Decode(logRecord.AsMemory(1));
        foreach (Dot dot in record.Dots)
        {
            if (!record.Object.Holds(dot))
            {
                _superseded.Add(dot);
            }
        }

        foreach (DottedValue value in record.Object.Values)
        {
            string text = ClientKeys.TextOf(value.Value);
            if (!_outside.TryGetValue(text, out HashSet<Dot>? dots))
            {
                _outside.Add(text, dots = []);
            }

            dots.Add(value.Dot);
        }

        string key = record.Key.ToString();
        _contexts[key] = _contexts.GetValueOrDefault(key, VersionVector.Empty).Join(record.Object.Context);
    }

    public void OnApplied(byte[] key, ReadOnlyMemory<byte> before, ReadOnlyMemory<byte> after)
    {
        DottedObject now = DottedObject.Decode(after);
        foreach (DottedValue value in now.Values)
        {
            _applied.Add(ClientKeys.TextOf(value.Value));
        }

        if (OrderedRecord.IsOrdered(after.Span))
        {
            return;
        }

        DottedObject held = before.IsEmpty ? DottedObject.Empty : DottedObject.Decode(before);
        if (now.IsEmpty || (now.Values is [{ Dot: { Actor.IsLog: true } dot }] && !held.Holds(dot)))
        {
            // A write of the log, which keeps a context while some of the dots that it accounts for have gaps below them: no merge brings a new dot of the log.
            return;
        }

        string name = Encoding.UTF8.GetString(key);
        CheckErased(name, held, now);

        // Not the version of the key, which a merge that takes a sibling away again leaves as it was before.
        if (_merged.Add((name, new LogIndex(now.Context[ActorId.Log]))))
        {
            OnMerged(name, TextOf(now.Values.ToArray().Select(value => value.Value)));
        }
    }

    /// <summary>In the end, with the dots that the log accounts for.</summary>
    public void CheckEnd(ShardClock accounted)
    {
        foreach ((string value, Dot dot) in _acknowledged)
        {
            if (!accounted.Covers(dot))
            {
                throw new SimulationFailedException(nameof(OverlayWatch), $"The provisional write of {value} ({dot}) was acknowledged, no overlay holds it any more, and the log does not account for it.");
            }

            if (!_applied.Contains(value) && !_superseded.Contains(dot))
            {
                throw new SimulationFailedException(nameof(OverlayWatch), $"The provisional write of {value} ({dot}) was acknowledged, nothing superseded it, and no replica ever held it.");
            }
        }

        foreach (string value in _answeredByMerge)
        {
            if (!_applied.Contains(value) && !(_outside.TryGetValue(value, out HashSet<Dot>? dots) && dots.Overlaps(_superseded)))
            {
                throw new SimulationFailedException(nameof(OverlayWatch), $"The write of {value} was answered as merged, nothing superseded it outside the log, and no replica ever held it.");
            }
        }
    }

    private void CheckErased(string key, DottedObject before, DottedObject now)
    {
        VersionVector seen = _contexts.GetValueOrDefault(key, VersionVector.Empty);
        foreach (DottedValue value in before.Values)
        {
            // A value that was also written outside is the same request: whoever had seen the one had seen the other.
            bool mayGo = now.Holds(value.Dot) || seen.Covers(value.Dot) || _outside.ContainsKey(ClientKeys.TextOf(value.Value));
            if (!mayGo)
            {
                throw new SimulationFailedException(
                    nameof(OverlayWatch), $"A merge erased {ClientKeys.TextOf(value.Value)} ({value.Dot}) of {key}, which nobody had seen who wrote the key outside the log.");
            }
        }
    }
}
