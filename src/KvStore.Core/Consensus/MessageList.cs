namespace KvStore.Core.Consensus;

/// <summary>Messages as plain values in one array that is used again and again.</summary>
internal sealed class MessageList
{
    private RaftMessage[] _items = new RaftMessage[16];

    public int Count { get; private set; }

    public ReadOnlySpan<RaftMessage> Span => _items.AsSpan(0, Count);

    /// <summary>Adds an empty message to be filled in place, before the next one is added.</summary>
    public ref RaftMessage Add()
    {
        if (Count == _items.Length)
        {
            Array.Resize(ref _items, Count * 2);
        }

        return ref _items[Count++];
    }

    /// <summary>Also lets go of the entries the messages pointed to.</summary>
    public void Clear()
    {
        Array.Clear(_items, 0, Count);
        Count = 0;
    }
}
