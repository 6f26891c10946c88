using System.Buffers.Binary;
using System.Text;
using KvStore.Core.Identity;
using KvStore.Storage.Log;

namespace KvStore.Storage.Engine;

/// <summary>
/// The small file that says whose data directory this is, how often it was opened, and which segments of the log must exist. It is replaced in one step, never written in place.
/// </summary>
/// <param name="Generation">Which successor of the node under this id it belongs to; counted up when a node is replaced.</param>
/// <param name="DirectoryId">Drawn at random when the directory was made: tells it from another one of the same node.</param>
internal sealed record DataStamp(string Cluster, NodeId Node, ulong DirectoryId, uint Generation, ulong Incarnation, bool WasClosed, ulong FirstSegment, ulong LastSegment)
{
    public const string FileName = "node.stamp";
    public const int FormatVersion = 2;
    public const int MaxClusterBytes = 256;

    private const ulong Magic = 0x504D_4154_5353_564B;
    private const int FixedBytes = 60;

    public void Save(ILogDirectory directory) => SmallFile.Replace(directory, FileName, Encode());

    /// <summary>Reads the stamp of a directory that has one.</summary>
    /// <exception cref="StorageRefusedException">It is damaged, or of another format, cluster or node.</exception>
    public static DataStamp Read(ILogDirectory directory, string cluster, NodeId node, uint generation, string place)
    {
        using var file = directory.Open(FileName);
        var bytes = new byte[Math.Min(file.Length, FixedBytes + MaxClusterBytes + 4)];
        var length = file.Read(0, bytes);
        var stamp = Decode(bytes.AsSpan(0, length), place);
        if (stamp.Cluster != cluster)
        {
            throw new StorageRefusedException(
                $"The data directory {place} belongs to cluster '{stamp.Cluster}', not to '{cluster}': start the node with its own directory, or with the right cluster id.");
        }

        if (stamp.Node != node)
        {
            throw new StorageRefusedException($"The data directory {place} belongs to node {stamp.Node}, not to {node}: start the node with its own directory, or with the right node id.");
        }

        if (stamp.Generation != generation)
        {
            throw new StorageRefusedException(
                $"The data directory {place} belongs to generation {stamp.Generation} of node {stamp.Node}, not to generation {generation}: a node that takes another's place begins with an empty directory.");
        }

        return stamp;
    }

    private byte[] Encode()
    {
        var name = Encoding.UTF8.GetBytes(Cluster);
        var bytes = new byte[FixedBytes + name.Length + 4];
        var span = bytes.AsSpan();
        BinaryPrimitives.WriteUInt64LittleEndian(span, Magic);
        BinaryPrimitives.WriteInt32LittleEndian(span[8..], FormatVersion);
        BinaryPrimitives.WriteUInt32LittleEndian(span[12..], Node.Value);
        BinaryPrimitives.WriteUInt64LittleEndian(span[16..], Incarnation);
        BinaryPrimitives.WriteUInt64LittleEndian(span[24..], FirstSegment);
        BinaryPrimitives.WriteUInt64LittleEndian(span[32..], LastSegment);
        BinaryPrimitives.WriteInt32LittleEndian(span[40..], WasClosed ? 1 : 0);
        BinaryPrimitives.WriteInt32LittleEndian(span[44..], name.Length);
        BinaryPrimitives.WriteUInt64LittleEndian(span[48..], DirectoryId);
        BinaryPrimitives.WriteUInt32LittleEndian(span[56..], Generation);
        name.CopyTo(span[FixedBytes..]);
        BinaryPrimitives.WriteUInt32LittleEndian(span[^4..], Crc32C.Of(0, span[..^4]));
        return bytes;
    }

    private static DataStamp Decode(ReadOnlySpan<byte> bytes, string place)
    {
        if (bytes.Length < FixedBytes + 4 || BinaryPrimitives.ReadUInt64LittleEndian(bytes) != Magic)
        {
            throw new StorageRefusedException($"The file {FileName} in {place} is not a stamp of this program: point the node at its own data directory, or restore the file.");
        }

        // The version stands outside the checksum's reach on purpose of the message: a newer format may have moved everything else.
        var version = BinaryPrimitives.ReadInt32LittleEndian(bytes[8..]);
        if (version != FormatVersion)
        {
            throw new StorageRefusedException(
                $"The data directory {place} has format version {version}, and this program knows version {FormatVersion}: start the program version that wrote it.");
        }

        if (BinaryPrimitives.ReadUInt32LittleEndian(bytes[^4..]) != Crc32C.Of(0, bytes[..^4]))
        {
            throw new StorageRefusedException(
                $"The file {FileName} in {place} is damaged: restore it, or remove this node from the cluster and add it again with an empty data directory.");
        }

        return new DataStamp(
            Encoding.UTF8.GetString(bytes[FixedBytes..^4]),
            new NodeId(BinaryPrimitives.ReadUInt32LittleEndian(bytes[12..])),
            BinaryPrimitives.ReadUInt64LittleEndian(bytes[48..]),
            BinaryPrimitives.ReadUInt32LittleEndian(bytes[56..]),
            BinaryPrimitives.ReadUInt64LittleEndian(bytes[16..]),
            BinaryPrimitives.ReadInt32LittleEndian(bytes[40..]) != 0,
            BinaryPrimitives.ReadUInt64LittleEndian(bytes[24..]),
            BinaryPrimitives.ReadUInt64LittleEndian(bytes[32..]));
    }
}
