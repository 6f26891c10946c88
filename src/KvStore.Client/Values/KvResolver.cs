using KvStore.Contracts.Pipeline;

namespace KvStore.Client;

/// <summary>Makes one value of those that were written concurrently. Called on the thread that received the answer: compute, and don't wait.</summary>
/// <example><code>
/// IKvKeyspace carts = client.Keyspace("carts", new KvKeyspaceOptions
/// {
///     Resolver = KvResolver.Of&lt;Cart&gt;((key, siblings) => Cart.Union(siblings.Select(sibling => sibling.Value))),
///     WriteBackResolved = true,
/// });
/// </code></example>
public abstract class KvResolver
{
    private protected KvResolver()
    {
    }

    /// <summary>A resolver of values of one type. They are read and written with the client's serializer, whatever type a get asks for.</summary>
    /// <param name="resolve">
    /// Gets the key and two or more values, in no order that means anything. For the same values it must give the same result at every client, or clients undo each other's work. What it throws, the get throws.
    /// </param>
    /// <typeparam name="T">What the values are read as.</typeparam>
    public static KvResolver Of<T>(Func<KvKey, IReadOnlyList<KvSibling<T>>, T> resolve)
    {
        ArgumentNullException.ThrowIfNull(resolve);
        return new Typed<T>(resolve);
    }

    internal static KvSibling<T> Read<T>(in WireSibling sibling, IKvSerializer serializer)
    {
        ulong latest = (ulong)DateTimeOffset.MaxValue.ToUnixTimeMilliseconds();
        return new KvSibling<T>(
            serializer.Deserialize<T>(sibling.Value),
            DateTimeOffset.FromUnixTimeMilliseconds((long)Math.Min(sibling.TimestampMs, latest)),
            $"{sibling.Writer:x16}/{sibling.Write}");
    }

    internal abstract ReadOnlyMemory<byte> Resolve(KvKey key, IReadOnlyList<WireSibling> siblings, IKvSerializer serializer);

    private sealed class Typed<T>(Func<KvKey, IReadOnlyList<KvSibling<T>>, T> resolve) : KvResolver
    {
        internal override ReadOnlyMemory<byte> Resolve(KvKey key, IReadOnlyList<WireSibling> siblings, IKvSerializer serializer) =>
            serializer.Serialize(resolve(key, [.. siblings.Select(sibling => Read<T>(sibling, serializer))]));
    }
}
