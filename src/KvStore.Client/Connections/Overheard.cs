namespace KvStore.Client.Connections;

/// <summary>
/// How far the connections of one channel came: whether one stood, and with which byte the other side began. A server of HTTP/2 begins with the frame of its settings, which is short, so its first byte is 0; any
/// other byte is of a server that will never be a node. The HTTP stack tells such a server apart from a connection that just ended only by luck.
/// </summary>
internal sealed class Overheard
{
    private const int Nothing = -1;
    private const int TlsAlert = 0x15;
    private const int TlsHandshake = 0x16;

    private volatile int _firstByte = Nothing;
    private volatile bool _hasConnected;

    public bool HasConnected => _hasConnected;

    /// <summary>Null: nothing was heard, or the beginning of HTTP/2.</summary>
    public string? WhatIsNoHttp2 => _firstByte switch
    {
        Nothing or 0 => null,
        TlsAlert or TlsHandshake => "speaks TLS: write https:// if a node is behind it",
        'H' => "is a server of HTTP/1, perhaps a node's port for HTTP: clients need its port for gRPC",
        _ => "speaks something else than HTTP/2",
    };

    /// <summary>A connection stands. Only the newest one counts.</summary>
    /// <param name="stream">What was dialled.</param>
    /// <param name="isTls">Then the bytes are TLS's, and tell nothing.</param>
    public Stream ListenTo(Stream stream, bool isTls)
    {
        _firstByte = Nothing;
        _hasConnected = true;
        return isTls ? stream : new ListenedTo(stream, this);
    }

    private sealed class ListenedTo(Stream stream, Overheard hears) : Stream
    {
        public override bool CanRead => true;

        public override bool CanSeek => false;

        public override bool CanWrite => true;

        public override long Length => throw new NotSupportedException();

        public override long Position
        {
            get => throw new NotSupportedException();
            set => throw new NotSupportedException();
        }

        public override async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default) =>
            Hear(await stream.ReadAsync(buffer, cancellationToken).ConfigureAwait(false), buffer.Span);

        public override Task<int> ReadAsync(byte[] buffer, int offset, int count, CancellationToken cancellationToken) => ReadAsync(buffer.AsMemory(offset, count), cancellationToken).AsTask();

        public override int Read(byte[] buffer, int offset, int count) => Hear(stream.Read(buffer, offset, count), buffer.AsSpan(offset));

        public override ValueTask WriteAsync(ReadOnlyMemory<byte> buffer, CancellationToken cancellationToken = default) => stream.WriteAsync(buffer, cancellationToken);

        public override Task WriteAsync(byte[] buffer, int offset, int count, CancellationToken cancellationToken) => stream.WriteAsync(buffer, offset, count, cancellationToken);

        public override void Write(byte[] buffer, int offset, int count) => stream.Write(buffer, offset, count);

        public override void Flush() => stream.Flush();

        public override Task FlushAsync(CancellationToken cancellationToken) => stream.FlushAsync(cancellationToken);

        public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

        public override void SetLength(long value) => throw new NotSupportedException();

        protected override void Dispose(bool disposing)
        {
            if (disposing)
            {
                stream.Dispose();
            }

            base.Dispose(disposing);
        }

        private int Hear(int length, ReadOnlySpan<byte> heard)
        {
            if (length > 0 && hears._firstByte == Nothing)
            {
                hears._firstByte = heard[0];
            }

            return length;
        }
    }
}
