using System.Text;
using KvStore.Core.Replicas;
using KvStore.Core.Replicas.Watching;
using KvStore.Core.Versioning;

namespace KvStore.Core.Tests.Replicas.Watching;

/// <summary>The window of one replica of a <see cref="ReplicaCluster"/>, filled as a node does it, and readers of it.</summary>
internal sealed class WatchedReplica(ReplicaMachine machine, int maxChanges = 1_000)
{
    private readonly List<ShardChange> _changes = [];

    public static ReplicaOptions Options => new() { NotesChanges = true };

    public ChangeWindow Window { get; private set; } = new(maxChanges, 1 << 20, new WindowBudget(1 << 30));

    /// <summary>Takes over what the replica has noted. Readers that are idle hear of it.</summary>
    public void Pump(params ReadOnlySpan<Reader> readers)
    {
        machine.Replica.Watch!.TakeChanges(_changes);
        foreach (ShardChange change in _changes)
        {
            Window.Append(change);
            foreach (Reader reader in readers)
            {
                reader.OnAppended(change);
            }
        }

        _changes.Clear();
    }

    public Reader ReadFromNow(WatchRange? range = null) => new(this, WindowCursor.AtTail(Window, range ?? WatchRange.All), range ?? WatchRange.All);

    public Reader ReadFrom(byte[] position, WatchRange? range = null) =>
        new(this, WindowCursor.From(Window, range ?? WatchRange.All, WatchPosition.Decode(position)), range ?? WatchRange.All);

    /// <summary>One reader; what it is told is text: "a=1" is a put, "a=1|2" concurrent values, "-a" a delete, "~a" an expiry, "?a" an eviction.</summary>
    internal sealed class Reader(WatchedReplica replica, WindowCursor cursor, WatchRange range)
    {
        private readonly List<WatchItem> _items = [];

        public WindowCursor Cursor => cursor;

        public List<string> Told { get; } = [];

        public List<byte[]> Positions { get; } = [];

        public void OnAppended(ShardChange change)
        {
            if (change.IsVisible && range.Holds(change.Key.Span))
            {
                replica.Window.MarkNewest();
                cursor.WakeAt(replica.Window.Next - 1);
            }

            if (cursor.State == CursorState.Waiting)
            {
                cursor.Place(replica.Window);
            }
        }

        public string Read(int most = 1_000)
        {
            cursor.Read(replica.Window, most, _items);
            foreach (WatchItem item in _items)
            {
                Told.Add(TextOf(item.Change));
                Positions.Add(item.Position);
            }

            string told = string.Join(' ', _items.Select(item => TextOf(item.Change)));
            _items.Clear();
            return told;
        }

        private static string TextOf(ShardChange change)
        {
            string key = Encoding.UTF8.GetString(change.Key.Span);
            return change.Kind switch
            {
                ShardChangeKind.Put => $"{key}={string.Join('|', DottedObject.Decode(change.Record).Siblings().Select(value => Encoding.UTF8.GetString(value.Value.Span)).Order())}",
                ShardChangeKind.Deleted => $"-{key}",
                ShardChangeKind.Expired => $"~{key}",
                _ => $"?{key}",
            };
        }
    }
}
