using System.Text;

namespace KvStore.Simulator.Clients;

/// <summary>The few keys of a run, and values that name their writer and fill some space.</summary>
internal static class ClientKeys
{
    public static string Text(int key) => $"k{key}";

    public static ReadOnlyMemory<byte> Bytes(int key) => Encoding.UTF8.GetBytes(Text(key));

    public static ReadOnlyMemory<byte> Value(string text, int padding) => Encoding.UTF8.GetBytes(text + "." + new string('x', padding));

    public static string TextOf(ReadOnlyMemory<byte> value)
    {
        string all = Encoding.UTF8.GetString(value.Span);
        return all[..all.IndexOf('.')];
    }
}
