namespace KvStore.Client;

/// <summary>How values become bytes and back. Called from many threads at once.</summary>
public interface IKvSerializer
{
    /// <summary>The bytes of a value; not changed until the operation that carries them has completed.</summary>
    ReadOnlyMemory<byte> Serialize<T>(T value);

    /// <summary>The value of these bytes. They slice a received message that is not reused: they may be kept, at the price of keeping the message.</summary>
    T Deserialize<T>(ReadOnlyMemory<byte> bytes);
}
