using System.Text;

namespace KvStore.Simulator.Clients;

/// <summary>The few keys of a run, and values that name their writer and fill some space.</summary>
internal static class ClientKeys
{
    private const int MaxKeys = 64;

    private static readonly string[] Texts = [.. Enumerable.Range(0, MaxKeys).Select(key => $"k{key}")];
    private static readonly byte[][] Encoded = [.. Texts.Select(Encoding.UTF8.GetBytes)];

    public static string Text(int key) => Texts[key];

    public static ReadOnlyMemory<byte> Bytes(int key) => Encoded[key];

    public static ReadOnlyMemory<byte> Value(string text, int padding) => Encoding.UTF8.GetBytes(text + "." + new string('x', padding));

    public static string TextOf(ReadOnlyMemory<byte> value)
    {
        string all = Encoding.UTF8.GetString(value.Span);
        return all[..all.IndexOf('.')];
    }
}
