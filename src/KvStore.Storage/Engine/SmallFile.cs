using KvStore.Storage.Log;

namespace KvStore.Storage.Engine;

/// <summary>A small file of the data directory that is replaced in one step, never written in place: after a power loss it holds the old bytes or the new ones.</summary>
internal static class SmallFile
{
    public static void Replace(ILogDirectory directory, string name, ReadOnlySpan<byte> bytes)
    {
        var temporary = name + ".new";
        if (directory.List().Contains(temporary))
        {
            directory.Delete(temporary);
        }

        using (var file = directory.Create(temporary, bytes.Length))
        {
            file.Write(0, bytes);
            file.Sync();
        }

        directory.Rename(temporary, name);
    }

    /// <returns>Null if there is no such file.</returns>
    public static byte[]? Read(ILogDirectory directory, string name, int maxBytes)
    {
        if (!directory.List().Contains(name))
        {
            return null;
        }

        using var file = directory.Open(name);
        var bytes = new byte[Math.Min(file.Length, maxBytes)];
        var length = file.Read(0, bytes);
        return bytes[..length];
    }
}
